"""Every published remedy by name: what it claims, where it was published, and what it changes in a recipe."""

import dataclasses
from typing import Any

from rnn_dynamics.training.compatibility import refuse
from rnn_dynamics.training.recipes import Recipe
from rnn_dynamics.training.terms import Term, activity, flossing, omega, omega_squared, prediction

__all__ = ["REMEDIES", "Remedy", "find", "recipe"]


@dataclasses.dataclass(frozen=True)
class Remedy:
    """One remedy: slots of a recipe with what they are set to.

    Attributes:
        name: as ``recipe`` and the command line take it.
        kind: "optimizer", "loss term", "cell", "initializer", "activation", "normalisation", "search", …
        claim: what is said of it, in a few words.
        reference: where.
        changes: pairs of a slot of ``Recipe`` and its piece; terms are added to those of others.
        numbers: pairs of a number's name and value.
        defaults: as changes, but where another remedy sets the slot, that one counts.
        rates: learning rates it is tried with; the first is its own.
        is_first_tier: whether theory, invariants and figures of its own are here.
    """

    name: str
    kind: str
    claim: str
    reference: str
    changes: tuple[tuple[str, Any], ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()
    rates: tuple[float, ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    is_first_tier: bool = False


_PASCANU = "Pascanu, Mikolov, Bengio, ICML 2013"
_BENGIO = "Bengio, Simard, Frasconi, IEEE TNN 5, 1994"
_FIRST = [
    Remedy(
        "clipping",
        "gradient",
        "a step over a cliff is no longer than others",
        f"{_PASCANU}, algorithm 1",
        (("clip", "norm"),),
        (("threshold", 1.0),),
        is_first_tier=True,
    ),
    Remedy(
        "omega",
        "loss term",
        "∂E/∂x keeps its norm from step to step",
        f"{_PASCANU}, equation 10",
        (("terms", (Term("omega", omega_squared, True),)),),
        (("omega", 4.0),),
        is_first_tier=True,
    ),
    Remedy(
        "omega, norms",
        "loss term",
        "the same with norms that are not squared",
        f"{_PASCANU}, section 3.3",
        (("terms", (Term("omega", omega, True),)),),
        (("omega", 4.0),),
        is_first_tier=True,
    ),
    Remedy(
        "orthogonal",
        "initializer",
        "all exponents are 0 at the start, but for φ′",
        "Saxe, McClelland, Ganguli, ICLR 2014",
        (("initializer", "orthogonal"),),
        is_first_tier=True,
    ),
    Remedy(
        "irnn",
        "initializer",
        "a ReLU network that starts as the identity keeps its state",
        "Le, Jaitly, Hinton, arXiv 1504.00941",
        (("initializer", "identity"), ("activation", "relu")),
        is_first_tier=True,
    ),
    Remedy(
        "lstm",
        "cell",
        "the cell state carries the error unchanged",
        "Hochreiter, Schmidhuber 1997; Gers et al. 2000",
        (("cell", "lstm"),),
        defaults=(("initializer", "glorot"),),
        is_first_tier=True,
    ),
    Remedy(
        "gru",
        "cell",
        "the update gate carries the error",
        "Cho et al., EMNLP 2014",
        (("cell", "gru"),),
        defaults=(("initializer", "glorot"),),
        is_first_tier=True,
    ),
    Remedy(
        "leaky",
        "cell",
        "1 − α of the state passes unchanged",
        "Jaeger et al., Neural Networks 20, 2007",
        (("cell", "leaky"),),
        is_first_tier=True,
    ),
    Remedy(
        "residual",
        "cell",
        "the identity passes the error by the branch",
        "He et al., CVPR 2016",
        (("cell", "residual"),),
        is_first_tier=True,
    ),
    Remedy(
        "flossing",
        "loss term",
        "Lyapunov exponents are driven to 0",
        "Engelken, NeurIPS 2023",
        (("terms", (Term("flossing", flossing),)),),
        (("flossing", 1.0), ("exponent", 0.0)),
        is_first_tier=True,
    ),
]
_SECOND = [
    Remedy(
        "value clipping",
        "gradient",
        "no entry of the gradient is larger than the threshold",
        "Mikolov, thesis 2012",
        (("clip", "value"),),
        (("threshold", 0.1),),
    ),
    Remedy("momentum", "optimizer", "", "Polyak 1964", (("optimizer", "momentum"),), (("momentum", 0.9),)),
    Remedy(
        "nesterov",
        "optimizer",
        "a better momentum reaches further back",
        "Nesterov 1983; Sutskever et al., ICML 2013",
        (("optimizer", "nesterov"),),
        (("momentum", 0.9),),
    ),
    Remedy(
        "rmsprop",
        "optimizer",
        "steps relative to the recent gradient",
        "Tieleman, Hinton 2012",
        (("optimizer", "rmsprop"),),
        rates=(1e-3,),
    ),
    Remedy(
        "adam",
        "optimizer",
        "for comparison",
        "Kingma, Ba, ICLR 2015",
        (("optimizer", "adam"),),
        rates=(1e-3,),
    ),
    Remedy(
        "rprop",
        "optimizer",
        "only the gradient's sign counts, however small it is",
        "Riedmiller, Braun 1993",
        (("optimizer", "rprop"),),
        (("largest_step", 0.01),),
        rates=(1e-4,),
    ),
    Remedy("gaussian", "initializer", "", "variance 1/n", (("initializer", "gaussian"),)),
    Remedy("glorot", "initializer", "", "Glorot, Bengio, AISTATS 2010", (("initializer", "glorot"),)),
    Remedy(
        "spectral radius 1",
        "initializer",
        "the edge of stability",
        "Jaeger 2001",
        (("initializer", "spectral radius"),),
    ),
    Remedy(
        "smart tanh",
        "initializer",
        "sparse, spectral radius .95",
        f"{_PASCANU}, appendix",
        (("initializer", "smart tanh"),),
    ),
    Remedy("basic tanh", "initializer", "", f"{_PASCANU}, appendix", (("initializer", "basic tanh"),)),
    Remedy(
        "sigmoid network",
        "initializer",
        "",
        f"{_PASCANU}, appendix",
        (("initializer", "sigmoid"), ("activation", "logistic")),
    ),
    Remedy(
        "kumar",
        "initializer",
        "layers of logistic units keep the variance",
        "Kumar, arXiv 1704.08863",
        (("initializer", "kumar"), ("activation", "logistic")),
    ),
    Remedy(
        "yilmaz-poli",
        "initializer",
        "logistic units stay off saturation by a negative mean",
        "Yilmaz, Poli, Neural Networks 153, 2022",
        (("initializer", "yilmaz-poli"), ("activation", "logistic")),
    ),
    Remedy(
        "relu", "activation", "φ′ is 1 where a unit is on", "Nair, Hinton 2010", (("activation", "relu"),)
    ),
    Remedy(
        "leaky relu",
        "activation",
        "φ′ is never 0",
        "Maas, Hannun, Ng 2013",
        (("activation", "leaky_relu"),),
    ),
    Remedy(
        "sparse activity",
        "loss term",
        "few units are on at a time",
        "Glorot, Bordes, Bengio, AISTATS 2011",
        (("activation", "relu"), ("terms", (Term("activity", activity),))),
        (("activity", 0.01),),
    ),
    Remedy(
        "skip",
        "cell",
        "an edge over ten steps shortens every path",
        "Lin et al., IEEE TNN 7, 1996",
        (("cell", "skip"),),
    ),
    Remedy(
        "attention",
        "cell",
        "every past state is one step away",
        "Bahdanau, Cho, Bengio, ICLR 2015",
        (("cell", "attention"),),
    ),
    Remedy(
        "layer normalisation",
        "normalisation",
        "the scale of the weights does not matter",
        "Ba, Kiros, Hinton, arXiv 1607.06450",
        (("cell", "layer normalisation"),),
    ),
    Remedy(
        "batch normalisation",
        "normalisation",
        "units keep mean and variance from step to step",
        "Cooijmans et al., ICLR 2017",
        (("cell", "batch normalisation"),),
        defaults=(("initializer", "orthogonal"),),
    ),
    Remedy(
        "prelu", "activation", "the slope below 0 is learned", "He et al., ICCV 2015", (("cell", "prelu"),)
    ),
    Remedy(
        "variational dropout",
        "noise",
        "one mask for all steps does not wear the memory off",
        "Gal, Ghahramani, NeurIPS 2016",
        (("dropout", True),),
        (("drop", 0.25),),
    ),
    Remedy(
        "truncated unfolding",
        "gradient",
        "cheap; what lies further back than 20 steps is not learned",
        "Williams, Peng, Neural Computation 2, 1990",
        (("truncation", 20),),
    ),
    Remedy(
        "time-weighted pseudo-newton",
        "direction",
        "early steps get steps as large as late ones",
        f"{_BENGIO}; LeCun 1987",
        (("direction", "time-weighted pseudo-newton"),),
        (("damping", 0.1),),
    ),
    Remedy(
        "history compressor",
        "cell",
        "what is predicted takes no step",
        "Schmidhuber, Neural Computation 4, 1992",
        (("cell", "compressor"), ("terms", (Term("prediction", prediction),))),
        (("prediction", 1.0),),
    ),
    Remedy(
        "random guessing",
        "search",
        "needs no gradient",
        "Hochreiter, Schmidhuber, NIPS 9, 1996",
        (("search", "random guessing"),),
        (("range", 100.0),),
    ),
    Remedy(
        "multigrid random search",
        "search",
        "needs no gradient",
        _BENGIO,
        (("search", "multigrid random search"),),
        (("patience", 100.0), ("range", 1.0)),
    ),
    Remedy(
        "simulated annealing",
        "search",
        "needs no gradient",
        f"{_BENGIO}; Corana et al. 1987",
        (("search", "simulated annealing"),),
        (("range", 1.0), ("temperature", 0.1)),
    ),
    Remedy(
        "evolution strategy",
        "search",
        "needs no gradient",
        "Salimans et al., arXiv 1703.03864",
        (("search", "evolution strategy"),),
        (("spread", 0.05),),
    ),
]

REMEDIES: dict[str, Remedy] = {remedy.name: remedy for remedy in _FIRST + _SECOND}


def find(remedy: Any) -> Remedy:
    """The remedy of a name, or the one that is given.

    Raises:
        ValueError: no such remedy; the message lists the known ones.
        TypeError: neither a name nor a remedy.
    """
    if isinstance(remedy, Remedy):
        return remedy
    if not isinstance(remedy, str):
        raise TypeError(f"remedies: expected names or Remedy objects, got {type(remedy).__name__}")
    if remedy not in REMEDIES:
        raise ValueError(f"remedies: expected some of {', '.join(REMEDIES)}, got {remedy!r}")
    return REMEDIES[remedy]


def recipe(*remedies: Any, base: Recipe = Recipe()) -> Recipe:  # noqa: B008 - frozen
    """The plain method (MSGD on a tanh network, learning rate .01) with remedies applied together.

    Args:
        *remedies: names of ``REMEDIES``, or ``Remedy`` objects.
        base: what they change.

    Raises:
        TypeError, ValueError: unknown remedies; two that set one slot or one number to different things, or that
            exclude each other otherwise.
    """
    changes: dict[str, tuple[Any, str]] = {}
    numbers: dict[str, tuple[float, str]] = {}
    set_by: dict[str, tuple[Any, str]] = {}
    terms: list[Term] = []
    rates: tuple[float, ...] = ()
    for remedy in map(find, remedies):
        for slot, piece in remedy.changes:
            if slot == "terms":
                terms += piece
                named = f"{set_by[slot][1]}, {remedy.name}" if slot in set_by else remedy.name
                set_by[slot] = (tuple(terms), named)
                continue
            _set(changes, slot, piece, remedy.name)
        for name, value in remedy.numbers:
            _set(numbers, name, value, remedy.name)
        rates = remedy.rates or rates
    refuse(_of_base(base) | changes | set_by)
    for remedy in map(find, remedies):
        for slot, piece in remedy.defaults:
            changes.setdefault(slot, (piece, remedy.name))
    if len({term.name for term in terms}) < len(terms):
        raise ValueError(f"remedies: {' and '.join(find(r).name for r in remedies)} are forms of one another")
    found = dataclasses.replace(base, **{slot: piece for slot, (piece, _) in changes.items()})
    found = dataclasses.replace(found, terms=base.terms + tuple(terms))
    found = found.with_numbers(**{name: value for name, (value, _) in numbers.items()})
    return found.with_numbers(learning_rate=rates[0]) if rates else found


def _of_base(base: Recipe) -> dict[str, tuple[Any, str]]:
    """The slots that a recipe sets itself; weights have to start somewhere."""
    fields = [f for f in dataclasses.fields(base) if f.name not in ("initializer", "numbers")]
    chosen = {f.name: getattr(base, f.name) for f in fields if getattr(base, f.name) != f.default}
    return {slot: (piece, "the recipe they change") for slot, piece in chosen.items()}


def _set(chosen: dict[str, tuple[Any, str]], slot: str, value: Any, by: str) -> None:
    """Note who set a slot, and refuse another value for it."""
    kept = chosen.setdefault(slot, (value, by))
    if kept[0] != value:
        raise ValueError(
            f"remedies: {kept[1]} and {by} exclude each other: {slot} is {kept[0]!r} for one and "
            f"{value!r} for the other"
        )
