"""The published figures by name: what each shows, its source, and the function that makes it."""

import dataclasses
import difflib
import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rnn_dynamics.figures.report import ReportRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What a study computed: the rows for the report, and how to draw its figure.

    Attributes:
        draw: makes the figure from the results, which are there already; open, its settings the caller's.
        rows: for the report.
    """

    draw: Callable[[], "Figure"]
    rows: tuple[ReportRow, ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One published figure.

    Attributes:
        name: its name on the command line and of its file.
        title: what it shows.
        source: where it is published.
        module: the module of ``figures`` that holds the function ``name``.
        seconds: about what it takes on one core; the longest ones are begun first.
        runs_long: whether its programs run for longer than they compile: the others are compiled briefly.
    """

    name: str
    title: str
    source: str
    module: str
    seconds: float = 0.0
    runs_long: bool = False

    def make(self, *, quick: bool = False) -> Reproduction:
        """Compute the results and measure the rows; ``.draw()`` makes the figure.

        Args:
            quick: coarse grids; the rows are the same.
        """
        module = importlib.import_module(f"rnn_dynamics.figures.{self.module}")
        return getattr(module, self.name)(quick=quick)


_PASCANU = "Pascanu et al. 2013"
_ENTRIES = (
    Entry(
        "doya_bifurcation",
        "One neuron's attractors against its bias, and both ways of crossing",
        f"Doya 1992; {_PASCANU}, figure 3",
        "doya.neuron",
        seconds=12,
    ),
    Entry(
        "neuron_charts",
        "Orbit diagrams of one neuron, and its events over exponents in the plane of w and b",
        "Doya 1992",
        "doya.charts",
        seconds=10,
        runs_long=True,
    ),
    Entry(
        "nearby_starts", "Two near starts pulled apart", f"{_PASCANU}, figure 4", "doya.boundary", seconds=4
    ),
    Entry(
        "input_over_boundary",
        "An input moves the state over a fixed boundary: one bit stored",
        f"{_PASCANU}, figure 5",
        "doya.boundary",
        seconds=1,
    ),
    Entry(
        "sensitivity_maps",
        "Derivatives and finite ratios, with fold, wall and cusp",
        "Wikipedia, Vanishing gradient problem",
        "doya.maps",
        seconds=8,
        runs_long=True,
    ),
    Entry(
        "cliff_profile",
        "The loss cliff: L(b) and dL/db for several T",
        "Wikipedia, Geometric model",
        "cliff.loss",
        seconds=13,
    ),
    Entry(
        "cliff_surface",
        "The loss over (w, b), and descent with and without clipping",
        f"{_PASCANU}, figure 6",
        "cliff.loss",
        seconds=7,
    ),
    Entry(
        "two_neuron_cliff",
        "Two neurons: a loss that jumps at a basin boundary and at folds, and how fast its gradient grows",
        f"Doya 1992; {_PASCANU}, section 2.3",
        "cliff.jumps",
        seconds=36,
    ),
    Entry(
        "norms_against_lag",
        "Gradient norms against the lag over spectral radii, with every bound",
        f"{_PASCANU}, section 2",
        "spectral.norms",
        seconds=14,
    ),
    Entry(
        "counterexamples",
        "Why the spectral radius does not bound the gradient",
        f"{_PASCANU}, section 2, corrected",
        "spectral.radius",
        seconds=10,
    ),
    Entry(
        "singular_values",
        "Every singular value of the product of Jacobians against the lag",
        f"{_PASCANU}, section 2; Newman 1986",
        "spectral.spectra",
        seconds=6,
        runs_long=True,
    ),
    Entry(
        "radius_atlas",
        "Gradient norms over spectral radius and bias, and where the spectral radius is no bound",
        f"{_PASCANU}, section 2; Sompolinsky et al. 1988",
        "spectral.spectra",
        seconds=20,
        runs_long=True,
    ),
    Entry(
        "non_normal_growth",
        "A non-normal W: pseudospectrum, transient growth, gradients",
        "Trefethen and Embree 2005",
        "spectral.spectra",
        seconds=7,
    ),
    Entry(
        "random_tanh_exponents",
        "Lyapunov exponents and attractor dimension of random tanh networks against the gain",
        "Sompolinsky et al. 1988; Engelken et al. 2023",
        "dynamics.exponents",
        seconds=19,
    ),
    Entry(
        "two_neuron_portrait",
        "Attractors, basins, and stable and unstable sets of two-neuron networks",
        "England, Krauskopf and Osinga 2004",
        "dynamics.portraits",
        seconds=25,
        runs_long=True,
    ),
    Entry(
        "trained_unit",
        "Fixed points of a trained network against a held input: where its bit is lost",
        "Sussillo and Barak 2013",
        "dynamics.trained",
        seconds=7,
    ),
    Entry(
        "joint_radius",
        "Joint spectral radii: the certified interval closing with product length",
        "Rota and Strang 1960",
        "spectral.spectra",
        seconds=3,
    ),
    Entry(
        "three_regimes",
        "Gradients that vanish, explode or neither, with partial sums over lags",
        "Bengio et al. 1994",
        "gradients.regimes",
        seconds=4,
    ),
    Entry(
        "gated_cells",
        "How far gradients reach in gated and plain cells, initial and trained, and the carousel of 1997",
        "Hochreiter and Schmidhuber 1997; Gers et al. 2000; Le et al. 2015",
        "gradients.gated",
        seconds=18,
    ),
    Entry(
        "shared_weights",
        "The same recurrence with shared weights in time and with its own in depth, and what sharing changes",
        "Hochreiter 1991; Bengio et al. 1994; Newman 1986; Sompolinsky et al. 1988",
        "gradients.shared",
        seconds=26,
        runs_long=True,
    ),
    Entry(
        "latch",
        "How often training learns to latch one bit, over initial weight, noise and length, and its gradient",
        "Bengio et al. 1994",
        "training.latch",
        seconds=2,
    ),
    Entry(
        "long_unfolding",
        "A plain tanh network trained to a lag of 100, its gradient before and after, and networks that fail",
        "Schaefer, Udluft and Zimmermann 2008",
        "training.unfolding",
        seconds=7,
    ),
    Entry(
        "training_bifurcations",
        "Fixed points, exponents and bifurcations met along training, and the jumps of the loss beside them",
        "Eisenmann et al. 2023",
        "training.along_training",
        seconds=16,
    ),
    Entry(
        "compute_and_lags",
        "How many lags c times the compute buys",
        "Wikipedia, Vanishing gradient problem, Faster hardware",
        "gradients.compute",
        seconds=8,
    ),
    Entry(
        "success_by_length",
        "Which runs learn temporal order, against its length: MSGD, with clipping, with clipping and Ω",
        "Pascanu et al. 2013, figure 7",
        "training.success",
        seconds=1,
    ),
    Entry(
        "remedies",
        "Every remedy on one task: which runs learn, and how far their gradients reach",
        "the papers of each",
        "training.remedies",
        seconds=2,
    ),
    Entry(
        "depth_norms",
        "Gradient norms through 10 and 15 hidden layers, initial and trained, and which networks learn",
        "Hinton et al. 2006; Kumar 2017; Yang et al. 2019; Yilmaz and Poli 2022",
        "training.depth",
        seconds=3,
    ),
    Entry(
        "zoo",
        "Trained networks that are public: gradients, horizons, exponents, Opus's folds, robots that walk",
        "the packages (examples/zoo)",
        "gradients.zoo",
        seconds=1,
    ),
)
FIGURES: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def select(names: Sequence[str] | None) -> tuple[Entry, ...]:
    """The entries of the names given, each once and in the registry's order; all of them by default.

    Args:
        names: of figures, or ``None``.

    Returns:
        The entries.

    Raises:
        ValueError: an unknown name; the message has the close ones, or all.
    """
    if names is None:
        return _ENTRIES
    for name in names:
        if name not in FIGURES:
            close = difflib.get_close_matches(name, FIGURES, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(FIGURES)}"
            raise ValueError(f"unknown figure {name[:80]!a}; {hint}")
    return tuple(entry for entry in _ENTRIES if entry.name in names)
