"""The published figures by name: what each shows, its source, and the function that makes it."""

import contextlib
import dataclasses
import difflib
import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rnn_dynamics.figures.report import ReportRow
from rnn_dynamics.numerics.decompositions import decomposing

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
        decomposes: whether it decomposes batches of matrices, and so waits for others that do.
    """

    name: str
    title: str
    source: str
    module: str
    decomposes: bool = False

    def make(self, *, quick: bool = False) -> Reproduction:
        """Compute the results and measure the rows; ``.draw()`` makes the figure.

        Args:
            quick: coarse grids; the rows are the same.
        """
        module = importlib.import_module(f"rnn_dynamics.figures.{self.module}")
        with decomposing if self.decomposes else contextlib.nullcontext():
            return getattr(module, self.name)(quick=quick)


_PASCANU = "Pascanu et al. 2013"
_ENTRIES = (
    Entry(
        "doya_bifurcation",
        "One neuron's attractors against its bias, and both ways of crossing",
        f"Doya 1992; {_PASCANU}, figure 3",
        "doya.neuron",
    ),
    Entry(
        "neuron_charts",
        "Orbit diagrams of one neuron, and its events over exponents in the plane of w and b",
        "Doya 1992",
        "doya.charts",
        decomposes=True,
    ),
    Entry("nearby_starts", "Two near starts pulled apart", f"{_PASCANU}, figure 4", "doya.boundary"),
    Entry(
        "input_over_boundary",
        "An input moves the state over a fixed boundary: one bit stored",
        f"{_PASCANU}, figure 5",
        "doya.boundary",
    ),
    Entry(
        "sensitivity_maps",
        "Derivatives and finite ratios, with fold, wall and cusp",
        "Wikipedia, Vanishing gradient problem",
        "doya.maps",
    ),
    Entry(
        "cliff_profile",
        "The loss cliff: L(b) and dL/db for several T",
        "Wikipedia, Geometric model",
        "cliff.loss",
    ),
    Entry(
        "cliff_surface",
        "The loss over (w, b), and descent with and without clipping",
        f"{_PASCANU}, figure 6",
        "cliff.loss",
    ),
    Entry(
        "two_neuron_cliff",
        "Two neurons: a loss that jumps at a basin boundary and at folds, and how fast its gradient grows",
        f"Doya 1992; {_PASCANU}, section 2.3",
        "cliff.jumps",
        decomposes=True,
    ),
    Entry(
        "norms_against_lag",
        "Gradient norms against the lag over spectral radii, with every bound",
        f"{_PASCANU}, section 2",
        "spectral.norms",
        decomposes=True,
    ),
    Entry(
        "counterexamples",
        "Why the spectral radius does not bound the gradient",
        f"{_PASCANU}, section 2, corrected",
        "spectral.radius",
        decomposes=True,
    ),
    Entry(
        "singular_values",
        "Every singular value of the product of Jacobians against the lag",
        f"{_PASCANU}, section 2; Newman 1986",
        "spectral.spectra",
        decomposes=True,
    ),
    Entry(
        "radius_atlas",
        "Gradient norms over spectral radius and bias, and where the spectral radius is no bound",
        f"{_PASCANU}, section 2; Sompolinsky et al. 1988",
        "spectral.spectra",
        decomposes=True,
    ),
    Entry(
        "non_normal_growth",
        "A non-normal W: pseudospectrum, transient growth, gradients",
        "Trefethen and Embree 2005",
        "spectral.spectra",
        decomposes=True,
    ),
    Entry(
        "random_tanh_exponents",
        "Lyapunov exponents and attractor dimension of random tanh networks against the gain",
        "Sompolinsky et al. 1988; Engelken et al. 2023",
        "dynamics.exponents",
        decomposes=True,
    ),
    Entry(
        "two_neuron_portrait",
        "Attractors, basins, and stable and unstable sets of two-neuron networks",
        "England, Krauskopf and Osinga 2004",
        "dynamics.portraits",
        decomposes=True,
    ),
    Entry(
        "trained_unit",
        "Fixed points of a trained network against a held input: where its bit is lost",
        "Sussillo and Barak 2013",
        "dynamics.trained",
        decomposes=True,
    ),
    Entry(
        "joint_radius",
        "Joint spectral radii: the certified interval closing with product length",
        "Rota and Strang 1960",
        "spectral.spectra",
        decomposes=True,
    ),
    Entry(
        "three_regimes",
        "Gradients that vanish, explode or neither, with partial sums over lags",
        "Bengio et al. 1994",
        "gradients.regimes",
    ),
    Entry(
        "gated_cells",
        "How far gradients reach in gated and plain cells, initial and trained, and the carousel of 1997",
        "Hochreiter and Schmidhuber 1997; Gers et al. 2000; Le et al. 2015",
        "gradients.gated",
    ),
    Entry(
        "shared_weights",
        "The same recurrence with shared weights in time and with its own in depth, and what sharing changes",
        "Hochreiter 1991; Bengio et al. 1994; Newman 1986; Sompolinsky et al. 1988",
        "gradients.shared",
    ),
    Entry(
        "latch",
        "How often training learns to latch one bit, over initial weight, noise and length, and its gradient",
        "Bengio et al. 1994",
        "training.latch",
    ),
    Entry(
        "long_unfolding",
        "A plain tanh network trained to a lag of 100, its gradient before and after, and networks that fail",
        "Schaefer, Udluft and Zimmermann 2008",
        "training.unfolding",
        decomposes=True,
    ),
    Entry(
        "training_bifurcations",
        "Fixed points, exponents and bifurcations met along training, and the jumps of the loss beside them",
        "Eisenmann et al. 2023",
        "training.along_training",
        decomposes=True,
    ),
    Entry(
        "compute_and_lags",
        "How many lags c times the compute buys",
        "Wikipedia, Vanishing gradient problem, Faster hardware",
        "gradients.compute",
    ),
    Entry(
        "success_by_length",
        "Which runs learn temporal order, against its length: MSGD, with clipping, with clipping and Ω",
        "Pascanu et al. 2013, figure 7",
        "training.success",
    ),
    Entry(
        "remedies",
        "Every remedy on one task: which runs learn, and how far their gradients reach",
        "the papers of each",
        "training.remedies",
    ),
    Entry(
        "depth_norms",
        "Gradient norms through 10 and 15 hidden layers, initial and trained, and which networks learn",
        "Hinton et al. 2006; Kumar 2017; Yang et al. 2019; Yilmaz and Poli 2022",
        "training.depth",
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
