"""The loss-cliff explorer: descents over the plane of weight and bias, as numbers of the library's."""

import io
import math
import re
from typing import TYPE_CHECKING, Any

from rnn_dynamics.explore import widget
from rnn_dynamics.explore.settings import CliffSettings, checked

if TYPE_CHECKING:
    from anywidget import AnyWidget

    from rnn_dynamics.cliff import Descent


def cliff(
    w: Any = 4.6,
    b: Any = -2.7,
    epsilon: Any = 1.0,
    x0: Any = 0.5,
    *,
    target: Any = 0.8,
    steps: Any = 50,
    rate: Any = 0.2,
    clip: Any = 0.5,
    updates: Any = 80,
    theme: Any = "auto",
) -> "AnyWidget":
    """The loss cliff to play with: plain and clipped gradient descent from a start that is dragged over (w, b).

    L = (x_T − target)² of x_{t+1} = (1 − ε) x_t + ε σ(w x_t + b), which is ``cliff.loss`` of the geometric model;
    the descents are those of ``cliff.descend``: (w, b) ← (w, b) − rate·g, with g ← clip·g/‖g‖ where ‖g‖ ≥ clip.
    The browser computes in doubles and asks the kernel nothing. Where no browser is a picture stands for it.

    Args:
        w: weight where the descents start, from −1000 to 1000.
        b: bias where they start, from −1000 to 1000.
        epsilon: Euler step in (0, 1].
        x0: start of the orbit, in [0, 1].
        target: in [0, 1].
        steps: T, from 0 to 500.
        rate: learning rate, above 0.
        clip: threshold of the clipped gradient, above 0.
        updates: from 0 to 500.
        theme: "light", "dark", or "auto", which follows the notebook.

    Returns:
        A widget whose traits, named as the arguments, follow what is dragged and can be set. ``state()`` gives
        what is shown as a dictionary: the parameters, ``x_T``, ``loss``, ``limit`` (T → ∞) and ``wall`` at the
        start, of ``plain`` and ``clipped`` descent ``w``, ``b``, ``loss``, ``log10_gradient`` at every update and
        ``status``, and the ``outcome`` in words.

    Raises:
        TypeError, ValueError: no number, or out of its range; another theme.
        ImportError: anywidget is not installed.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, algorithm 1 and figure 6.
    """
    settings = CliffSettings(w, b, epsilon, x0, target, steps, rate, clip, updates, theme)
    return widget.shown(checked(settings), state, picture)


def _options(settings: CliffSettings) -> dict[str, Any]:
    names = ("x0", "target", "epsilon")
    return {"model": "geometric"} | {name: getattr(settings, name) for name in names}


def _descents(settings: CliffSettings) -> "tuple[Descent, Descent]":
    """The plain one and the clipped one."""
    from rnn_dynamics.cliff import descend

    w, b, *_ = settings
    options = _options(settings) | {
        "steps": settings.steps,
        "rate": settings.rate,
        "updates": settings.updates,
    }
    return descend(w, b, **options), descend(w, b, clip=settings.clip, **options)


def state(settings: CliffSettings) -> dict[str, Any]:
    """What an explorer shows, from the library's own functions, in float64 whatever JAX is set to."""
    import jax

    from rnn_dynamics import doya
    from rnn_dynamics.cliff import limit_loss
    from rnn_dynamics.explore import outcome

    with jax.enable_x64(True):
        plain, clipped = map(_path, _descents(settings))
        ends = limit_loss(settings.w, settings.b, **_options(settings))
        limit = float(ends.odd if settings.steps % 2 else ends.even)
        inside = 0 < settings.x0 < 1
        wall = float(doya.wall(settings.w, settings.x0, settings.epsilon)) if inside else math.nan
        at = doya.sensitivities(settings.w, settings.b, settings.x0, settings.steps, epsilon=settings.epsilon)
        x = float(at.state)
    return {
        **settings._asdict(),
        "x_T": x,
        "loss": plain.value[0],
        "limit": None if math.isnan(limit) else limit,
        "wall": None if math.isnan(wall) else wall,
        "plain": _shown(plain),
        "clipped": _shown(clipped),
        "outcome": outcome.sentence(plain, clipped, settings),
    }


def _path(found: "Descent") -> Any:
    """The descent in Python's floats, as far as it has some."""
    import numpy as np

    from rnn_dynamics.explore.outcome import Path
    from rnn_dynamics.numerics.status import Status

    first = int(found.first_diverged)
    kept = slice(None) if first < 0 else slice(first)
    arrays = (found.w, found.b, found.loss.value, found.loss.log_gradient_norm)
    w, b, value, log_norm = (np.asarray(one)[kept].tolist() for one in arrays)
    return Path(w, b, value, log_norm, first, Status(int(found.status)).name)


def _shown(path: Any) -> dict[str, Any]:
    decades = [log / math.log(10) if math.isfinite(log) else None for log in path.log_norm]
    numbers = {"w": path.w, "b": path.b, "loss": path.value, "log10_gradient": decades}
    return numbers | {"status": path.status}


def picture(settings: CliffSettings) -> bytes:
    """The loss over the plane with both descents, and along b, as a PNG."""
    import jax
    import numpy as np
    from matplotlib.figure import Figure

    from rnn_dynamics import plots
    from rnn_dynamics.cliff import profile, surface
    from rnn_dynamics.explore import outcome
    from rnn_dynamics.plots import palette

    w, b, *_ = settings
    reach = (min(3.7, w - 0.3), max(5.7, w + 0.3)), (min(-3, b - 0.2), max(-1.8, b + 0.2))
    with jax.enable_x64(True):
        options = _options(settings)
        paths = _descents(settings)
        axes = (np.linspace(*ends, 121) for ends in reach)
        inside = 0 < settings.x0 < 1  # else no wall is there
        over = surface(*axes, steps=settings.steps, **options) if inside else None
        bias = np.linspace(-w / 2 - 0.5, -w / 2 + 0.5, 401)
        along = profile(bias, steps=[settings.steps], w=w, **options) if inside else None
        said = outcome.sentence(_path(paths[0]), _path(paths[1]), settings)
    with plots.style():
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        if over is not None and along is not None:
            plots.loss_surface(over, left)
            plots.loss_profile(along, right)
        for found, name, colour in zip(
            paths, ("plain", "clipped"), (palette.VERMILION, palette.SKY), strict=True
        ):
            plots.descent(found, left, label=name, color=colour)
        left.set(xlim=reach[0], ylim=reach[1])
        left.legend(loc="lower left")
        said = re.sub(r"10\^(−?\d+)", r"$10^{\1}$", said)
        figure.suptitle(
            said.replace("; clipped", ";\nclipped").replace("; the threshold", ";\nthe threshold"), fontsize=9
        )
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
