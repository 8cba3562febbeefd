"""What an attractor is, and how strong the rule is that gives a start to it."""

import enum


class AttractorKind(enum.IntEnum):
    """The kind of an attractor.

    ================ ================================================================================
    FIXED_POINT      F(x) = x, every |multiplier| < 1
    CYCLE            minimal period p ≥ 2, every |multiplier| of F^p below 1
    INVARIANT_CIRCLE largest exponent 0 within its resolution, recurrent, not periodic (or a torus)
    CHAOTIC          largest exponent positive by many standard errors (evidence, not a proof)
    ================ ================================================================================
    """

    FIXED_POINT = 0
    CYCLE = 1
    INVARIANT_CIRCLE = 2
    CHAOTIC = 3


class Trapping(enum.IntEnum):
    """The rule by which starts are given to an attractor, strongest first.

    ========== ======================================================================================
    PROVED     a ball that F maps into the next one and contracts, by a bound on every Jacobian in it
    SAMPLED    the same ball, the Jacobians sampled in it, its radius halved: evidence
    RECURRENCE the orbit stays near the sampled set for many steps in a row: evidence
    NONE       no ball was found; no start is given to this attractor
    ========== ======================================================================================
    """

    PROVED = 0
    SAMPLED = 1
    RECURRENCE = 2
    NONE = 3
