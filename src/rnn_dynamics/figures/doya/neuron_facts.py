"""The numbers of one neuron's equilibria, folds, flips, chaos and small-ε limit, measured."""

import math

import numpy as np

from rnn_dynamics import doya
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.numerics.status import Status

_WIKIPEDIA = "Wikipedia, Dynamical systems model"
_DOYA = "Doya 1992"


def rows() -> tuple[ReportRow, ...]:
    """Every row of the study of one neuron."""
    return (*_equilibria(), *_folds(), *_flips(), *_branch_slope(), *_limit())


def _equilibria() -> list[ReportRow]:
    points = np.asarray(doya.equilibria(5.0, -2.5).points)
    multipliers = np.asarray(doya.multiplier(5.0, points))
    where = "at w = 5, b = −2.5"
    rows = [
        number(f"{name} equilibrium {where}", _WIKIPEDIA, published, x)
        for name, published, x in zip(
            ("lower", "middle", "upper"), (".145", ".5", ".855"), points, strict=True
        )
    ]
    rows += [
        number(f"lower equilibrium {where}, six digits", _DOYA, ".144794", points[0]),
        number(f"upper equilibrium {where}, six digits", _DOYA, ".855206", points[2]),
    ]
    rows.append(
        claim(
            f"the outer two attract, the middle one repels, {where}",
            _WIKIPEDIA,
            "stable, unstable, stable",
            f"multipliers {', '.join(f'{m:.4f}' for m in multipliers)}",
            found=multipliers[1] > 1 and (np.abs(multipliers[[0, 2]]) < 1).all(),
        )
    )
    edges = np.asarray(doya.folds(5.0).x)
    inside = np.linspace(edges[0], edges[1], 101)[1:-1]
    repels = bool((np.asarray(doya.multiplier(5.0, inside)) > 1).all())
    rows.append(
        claim(
            "stability of the curve b = ln(x/(1−x)) − w x at w = 5",
            _WIKIPEDIA,
            "the whole curve is stable",
            f"unstable for x in ({edges[0]:.4f}, {edges[1]:.4f})",
            found=repels and np.allclose(edges, [0.2764, 0.7236], atol=5e-5),
            wrong=True,
            note="Correct: the part between the folds, x in (.2764, .7236), repels.",
        )
    )
    return rows


def _folds() -> list[ReportRow]:
    fold = doya.folds(5.0)
    b = np.asarray(fold.b)
    rows = [
        number("lower fold in b at w = 5", _DOYA, "-2.655610", b[1]),
        number("upper fold in b at w = 5", _DOYA, "-2.344390", b[0]),
    ]
    near = np.array([b[1] - 1e-6, b[1] + 1e-6, b[0] - 1e-6, b[0] + 1e-6])
    counts = np.asarray(doya.equilibria(5.0, near).count).tolist()
    rows.append(
        claim(
            "number of equilibria 1e−6 outside and inside each fold, w = 5",
            "Pascanu et al. 2013, figure 3",
            "three iff b lies between the folds",
            ", ".join(map(str, counts)),
            found=counts == [1, 3, 3, 1],
        )
    )
    s = math.sqrt(1 - 4 / 5)
    rows.append(
        number(
            "width of the bistable window at w = 5, w s − 4 artanh s",
            _DOYA,
            f"{5 * s - 4 * math.atanh(s):.9f}",
            doya.fold_window(5.0),
        )
    )
    multipliers = [np.asarray(doya.multiplier(5.0, fold.x, e)) for e in (1.0, 0.5, 0.01)]
    rows.append(
        claim(
            "folds do not depend on ε (1, ½, .01): multiplier 1 there",
            _DOYA,
            "independent of ε",
            f"largest |multiplier − 1| = {max(np.abs(m - 1).max() for m in multipliers):.0e}",
            found=max(np.abs(m - 1).max() for m in multipliers) < 1e-14,
        )
    )
    w, bias, x = doya.cusp()
    window = float(doya.fold_window(w))
    rows.append(
        claim(
            "cusp",
            _DOYA,
            "(w, b) = (4, −2)",
            f"({w:g}, {bias:g}) at x = {x:g}, window {window:g}",
            found=(w, bias, x, window) == (4.0, -2.0, 0.5, 0.0),
        )
    )
    return rows


def _flips() -> list[ReportRow]:
    rows = []
    for epsilon in (1.0, 0.5, 0.1):
        onset = -4 * (2 - epsilon) / epsilon
        both = onset * np.array([0.999, 1.001])
        edge = np.asarray(doya.flips(both, epsilon).b)
        rows.append(
            claim(
                f"flips exist from w = −4(2−ε)/ε = {onset:g} down, ε = {epsilon:g}",
                _DOYA,
                "w ≤ −4(2−ε)/ε",
                "none .1 % before, two .1 % beyond",
                found=np.isnan(edge[0]).all() and np.isfinite(edge[1]).all(),
            )
        )
    w = np.linspace(-200, -2, 16)[:, None]
    b = -w * np.linspace(0, 1, 15)
    early, late = (np.asarray(doya.sensitivities(w, b, 0.3, steps).state) for steps in (2000, 2002))
    rows.append(
        claim(
            "longest period at ε = 1 over 240 neurons with w < 0",
            _DOYA,
            "periods end at 2",
            f"largest |x₂₀₀₂ − x₂₀₀₀| = {np.abs(late - early).max():.0e}",
            found=np.abs(late - early).max() < 1e-6,
        )
    )
    chaos = doya.sensitivities(-100.0, 90.0, np.linspace(0.05, 0.95, 256), 10_000, epsilon=0.5)
    exponents = np.asarray(chaos.initial.log()) / 10_000
    doubt = exponents.std() / math.sqrt(exponents.size)
    rows.append(
        number(
            "Lyapunov exponent at ε = ½, w = −100, b = 90",
            "iteration",
            ".42",
            exponents.mean(),
            note=f"Mean over 256 orbits of 10 000 steps, standard error {doubt:.1e}.",
        )
    )
    lost = int(np.sum(np.asarray(chaos.status) == Status.UNRESOLVED))
    rows.append(
        claim(
            "x₁₀₀₀₀ of those orbits in float64",
            "running error bound",
            "chaos outruns the digits",
            f"{lost} of {exponents.size} UNRESOLVED",
            found=lost == exponents.size,
            note="The exponent is a mean over the attractor; a state itself is lost after some 85 steps.",
        )
    )
    return rows


def _branch_slope() -> list[ReportRow]:
    step, fold = 1e-5, float(np.asarray(doya.folds(5.0).b)[0])
    b = np.array([-2.5 + step, -2.5 - step, -2.5, fold - 1e-6, fold - 1e-8, 30.0])
    found = np.asarray(doya.equilibria(5.0, b).points)
    measured = (found[0, 2] - found[1, 2]) / (b[0] - b[1])

    def slope(x: np.ndarray) -> np.ndarray:
        return 1 / (1 / (x * (1 - x)) - 5)

    closed, saturated = slope(found[2, 2]), slope(found[5, 0])
    growth = float(np.diff(np.log10(slope(found[3:5, 0])))[0]) / 2
    return [
        number(
            "∂x_∞/∂b on the upper branch, w = 5, b = −2.5", "(1/(x(1−x)) − w)⁻¹", f"{closed:.7f}", measured
        ),
        number("exponent of ∂x_∞/∂b in the distance to the fold", "normal form", "-.5", -growth, within=0.01),
        claim(
            "∂x_∞/∂b on a stable branch",
            "Wikipedia",
            "neither decays nor blows up",
            f"∞ at the folds like |b − b_fold|^−½; {saturated:.0e} in saturation (b = 30)",
            found=saturated < 1e-12,
            wrong=True,
            note="Correct in between only: it diverges at the folds and vanishes in saturation.",
        ),
    ]


def _limit() -> list[ReportRow]:
    """x_T and ∂x_T/∂x_0 at fixed ε T = 2: successive differences halve with ε."""
    ends = [doya.sensitivities(5.0, -2.4, 0.4, 2 * 2**m, epsilon=2.0**-m) for m in range(6, 10)]
    rows = []
    for name, values in (
        ("x_T", [float(end.state) for end in ends]),
        ("∂x_T/∂x_0", [float(end.initial.to_float()) for end in ends]),
    ):
        order = math.log2(np.diff(values)[-2] / np.diff(values)[-1])
        rows.append(
            number(f"order in ε of {name} at fixed ε T = 2", "Doya 1992, Euler", "1", order, within=0.02)
        )
    return rows
