"""The numbers of the loss cliff, measured."""

import math

import numpy as np

from rnn_dynamics import cliff, doya
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.numerics.status import Status

_MODEL = "Wikipedia, Geometric model"
_SIX = "Pascanu et al. 2013, figure 6"


def steepest_gradients(steps: tuple[int, ...]) -> dict[int, float]:
    """max |dL/db| about the wall b = −2.5, for every T; its peak narrows like 1.25^−T."""
    unit = np.linspace(-20, 20, 4001)
    found = {}
    for count in steps:
        logs = np.asarray(cliff.loss(5.0, -2.5 + unit * 1.25**-count, steps=count).db.log())
        found[count] = math.exp(float(logs.max()))
    return found


def profile_rows(steepest: dict[int, float]) -> tuple[ReportRow, ...]:
    """The jump of the limit, the growth of the gradient, and where the target lies."""
    wall = cliff.wall(5.0)
    rate = (steepest[50] / steepest[40]) ** 0.1
    rows = [
        number("b of the wall at w = 5, x_0 = ½", _MODEL, "-2.5", wall.b),
        number("limit of L just above the wall", _MODEL, "4.2e-8", wall.above),
        number("limit of L just below the wall", _MODEL, ".504392", wall.below),
        number("max |dL/db| at T = 50", _MODEL, "5.7e4", steepest[50]),
        number("growth of max |dL/db| a step, T from 40 to 50", _MODEL, "1.25", rate),
        *_target_rows(),
        *_wall_rows(),
    ]
    return tuple(rows)


def _target_rows() -> list[ReportRow]:
    x = 0.855
    at = math.log(x / (1 - x)) - 5 * x
    behind = doya.Basin(int(doya.basin_label(5.0, at, 0.5))).name
    end = float(np.nanmax(doya.equilibria(5.0, at).points))
    above = -2.5 + np.linspace(0, 4e-4, 4001)
    fifty = cliff.loss(5.0, above, steps=50)
    small = float(np.asarray(fifty.value).min())
    descent = np.asarray(cliff.loss(5.0, np.array([-2.49, -2.4, -2.0]), steps=200).db.sign())
    return [
        number("b where x* = .855 is the equilibrium, w = 5", _MODEL, "-2.500632", at),
        claim(
            "x_0 = ½ at that b",
            _MODEL,
            "behind the wall: it goes to the lower equilibrium",
            f"{behind}; upper equilibrium {end:.6f}",
            found=behind == "LOW" and abs(end - x) < 1e-12,
        ),
        claim(
            "sign of dL/db above the wall, T = 200, b = −2.49, −2.4, −2",
            _MODEL,
            "drives b into the wall",
            ", ".join("+" if s > 0 else "−" for s in descent),
            found=(descent > 0).all(),
        ),
        claim(
            "least L above the wall at T = 50",
            _MODEL,
            "near 0 (1e−12)",
            f"{small:.1e}",
            found=small < 1e-11,
            note="At finite T the target is reached above the wall; the limit T → ∞ is 4.2e−8.",
        ),
    ]


def _wall_rows() -> list[ReportRow]:
    threshold = 1 / 0.235003712201594
    either = np.array([threshold * 0.9999, threshold * 1.0001])
    found = cliff.wall(np.array([*either, 6.0]), model="pascanu")
    exists = np.asarray(found.exists)[:2].tolist()
    formula = 0.5 - 6 / (1 + math.exp(-0.5))
    edge = -1 / (0.4 * 0.6)
    down = np.isfinite(doya.wall([edge * 0.9999, edge * 1.0001], 0.4)).tolist()
    even, odd = (
        np.asarray(cliff.loss(-6.0, math.log(0.4 / 0.6) + 6 * 0.4 + 1e-3, x0=0.4, steps=T).value)
        for T in (400, 401)
    )
    return [
        claim(
            "wall of figure 6 for w .01 % below and above 1/σ′(½) ≈ 4.2553",
            _SIX,
            "w > 4.2553",
            ", ".join("wall" if e else "none" for e in exists),
            found=exists == [False, True] and abs(threshold - 4.2553) < 5e-5,
        ),
        number(
            "b of that wall at w = 6",
            "b = ½ − w σ(½)",
            f"{formula:.9f}",
            np.asarray(found.b)[2],
        ),
        claim(
            "wall for w < 0 (x_0 = .4, ε = 1) before and beyond w x_0(1−x_0) = −1",
            "w x_0(1−x_0) < −(2−ε)/ε",
            "from w = −4.1667 down",
            ", ".join("wall" if e else "none" for e in down),
            found=down == [False, True],
        ),
        claim(
            "its two sides at w = −6, T = 400 and 401",
            "2-cycle",
            "the two phases of a 2-cycle",
            f"L = {float(even):.4f} and {float(odd):.4f}",
            found=abs(float(even) - float(odd)) > 1e-2,
        ),
    ]


def surface_rows(
    surface: cliff.Surface,
    unclipped: cliff.Descent,
    clipped: cliff.Descent,
    thrown: cliff.Descent,
    held: cliff.Descent,
) -> tuple[ReportRow, ...]:
    """Where descent ends with and without clipping, and that the published start is itself chaotic."""
    ends = [
        (unclipped, "unclipped", ("9.248037", "5.635950"), "0.09", 5e-5),
        (clipped, "clipped at 1", ("4.415331", "-2.246434"), "1.292e-3", 5e-7),
    ]
    source = "100-digit descent"
    rows = []
    for path, name, (w, b), loss, within in ends:
        start = "from (4.75, −2), rate .1, 100 updates"
        rows += [
            number(f"w after {name} descent {start}", source, w, path.w[-1], within=1e-6),
            number(f"b after {name} descent {start}", source, b, path.b[-1], within=1e-6),
            number(f"E₅₀ after {name} descent {start}", source, loss, path.loss.value[-1], within=within),
        ]
    norms = np.asarray(unclipped.gradient_norm)
    rows.append(number("largest ‖∇E‖ on the unclipped path", source, "92.5079", norms.max(), within=1e-3))
    rows += _published_start(thrown, held)
    average = float(np.asarray(clipped.gradient_norm).mean())
    rows += [
        claim(
            "threshold 1 against the average norm on the clipped path",
            "Pascanu et al. 2013, algorithm 1",
            "between ½ and 10 times the average",
            f"average {average:.3g}, threshold {1 / average:.2g} times",
            found=True,
            note="One long gradient at the wall dominates the average." if average > 2 else "",
        ),
        claim(
            "share of the surface with ‖∇E‖ > 1",
            _SIX,
            "a thin wall",
            f"{100 * surface.steep_share(1.0):.2f} %",
            found=0 < surface.steep_share(1.0) < 0.05,
        ),
        _clipping_cannot_grow(),
    ]
    return tuple(rows)


def _clipping_cannot_grow() -> ReportRow:
    flat = cliff.loss(9.248037, 5.635950, steps=50, model="pascanu")
    size = float(flat.log_gradient_norm) / math.log(10)
    return claim(
        "clipping cures vanishing gradients",
        "popular statement",
        "it cures both",
        f"‖∇E‖ = 10^{size:.1f} where the unclipped path is stuck",
        found=size < -2,
        wrong=True,
        note="Clipping only shortens: a gradient below the threshold is left as it is.",
    )


def _published_start(thrown: cliff.Descent, held: cliff.Descent) -> list[ReportRow]:
    """From (6, −3), 500 updates: thrown far; clipped, it comes near 0; both hang on the last bit."""
    names = [Status(int(path.status)).name for path in (thrown, held)]
    far = float(np.hypot(np.diff(thrown.w), np.diff(thrown.b)).max())
    apart = float(thrown.path_error[-1])
    loss = float(held.loss.value[-1])
    end = f"({float(thrown.w[-1]):.3f}, {float(thrown.b[-1]):.3f})"
    return [
        claim(
            "unclipped descent from (6, −3), rate .1, 500 updates",
            _SIX,
            "thrown to about (11, 8)",
            f"longest update {far:.2f}, end moves by {apart:.1g} for one float, {names[0]}",
            found=far > 1 and names[0] == "UNRESOLVED",
            wrong=True,
            note=f"It is thrown, but its path is chaotic, so it has no end to print (here {end}).",
        ),
        claim(
            "E₅₀ after the same with threshold 1",
            _SIX,
            "near 3e−4",
            f"{loss:.1e} at ({float(held.w[-1]):.3f}, {float(held.b[-1]):.3f}), {names[1]}",
            found=loss < 2e-3,
            wrong=True,
            note="Small, as said, but chaotic too: E stays below 2e−3, its digits mean nothing.",
        ),
    ]
