"""Every published remedy by name: what it claims, where it was published, and what it changes in a recipe."""

import dataclasses
from typing import Any

from rnn_dynamics.training.recipes.terms import Term, activity, flossing, omega, omega_squared, prediction


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
        (("terms", (Term("flossing", flossing, settings=("exponent",)),)),),
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
    Remedy(
        "momentum",
        "optimizer",
        "steps follow the mean of past gradients",
        "Polyak 1964",
        (("optimizer", "momentum"),),
        (("momentum", 0.9),),
    ),
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
    Remedy(
        "gaussian", "initializer", "a spectral radius near 1", "variance 1/n", (("initializer", "gaussian"),)
    ),
    Remedy(
        "glorot",
        "initializer",
        "variance kept from layer to layer",
        "Glorot, Bengio, AISTATS 2010",
        (("initializer", "glorot"),),
    ),
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
    Remedy(
        "basic tanh",
        "initializer",
        "the plain start",
        f"{_PASCANU}, appendix",
        (("initializer", "basic tanh"),),
    ),
    Remedy(
        "sigmoid network",
        "initializer",
        "the plain logistic network",
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
