#!/usr/bin/env bash
# lyapynov steps the tangent vectors of a flow by RK4 with a frozen Jacobian, so a limit cycle's zero exponent is not 0.
# lyapynov 1.0.1, numpy 2.4.6.
# ContinuousDS.next_LTM takes all four stages of RK4 with the Jacobian at the step's start. So W is not moved by the
# derivative of the step that moves x, and the exponents are off by some dt^2 where the Jacobian turns.
# On a stable limit cycle the exponents are 0 and -2. At dt = 0.05 the radius is right to 1.3e-4 and lyapynov's first
# exponent is -0.31, that of a stable focus; the derivative of the very same steps gives 0.
# Touched: exponents of a continuous network compared with this package; halve dt until they no longer move, or
# give its DiscreteDS the map of one step and that map's derivative.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check lyapynov==1.0.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import lyapynov
import numpy as np

print("lyapynov", importlib.metadata.version("lyapynov"))
turn, shear = 10.0, 5.0
A, S = np.array([[1.0, -turn], [turn, 1.0]]), np.array([[1.0, -shear], [shear, 1.0]])


def field(x, t):
    """The oscillator z' = (1 + i turn) z - (1 + i shear) |z|^2 z, with the stable cycle |z| = 1."""
    return A @ x - (x @ x) * (S @ x)


def jacobian(x, t):
    return A - (x @ x) * S - 2 * np.outer(S @ x, x)


def whole_step(x, W, dt):
    """RK4 of the state and of the variational equation, each stage at its own state."""
    at, slopes = [(x, W)], []
    for share in (0.5, 0.5, 1.0, None):
        slopes.append((field(at[-1][0], 0), jacobian(at[-1][0], 0) @ at[-1][1]))
        if share:
            at.append((x + share * dt * slopes[-1][0], W + share * dt * slopes[-1][1]))
    return tuple(z + dt / 6 * (a + 2 * b + 2 * c + d) for z, a, b, c, d in zip((x, W), *slopes, strict=True))


def own(dt, steps, before=1000):
    x, W, logs = np.array([0.6, 0.8]), np.array([[1.0, 0.3], [0.2, 1.0]]), []
    for _ in range(before + steps):
        x, W = whole_step(x, W, dt)
        W, R = np.linalg.qr(W)
        logs.append(np.log(abs(np.diag(R))) / dt)
    return np.mean(logs[before:], axis=0)


def frozen(dt):
    """What a Jacobian held through each step gives on the cycle, where it turns by the same angle each step."""
    J, angle, I = dt * jacobian(np.array([1.0, 0.0]), 0), dt * (turn - shear), np.eye(2)
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.log(abs(np.linalg.eigvals(back @ (I + J @ (I + J / 2 @ (I + J / 3 @ (I + J / 4))))))).max() / dt


same = True
for dt in (0.05, 0.02):
    system = lyapynov.ContinuousDS(np.array([0.6, 0.8]), 0.0, field, jacobian, dt)
    theirs = lyapynov.LCE(system, 2, round(20 / dt), round(800 / dt), False)
    mine, radius = own(dt, 5000), abs(np.linalg.norm(system.x) - 1)
    print(f"dt {dt}: expected 0 and -2; lyapynov {theirs.round(4)} (its radius off by {radius:.0e}),", end=" ")
    print(f"the derivative of the same steps {mine.round(4)}; a frozen Jacobian predicts {frozen(dt):.4f}")
    same &= bool(abs(theirs[0] / frozen(dt) - 1) < 0.1 and abs(mine[0]) < 1e-3 and radius < 1e-3)
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
