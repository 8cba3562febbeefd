"""Maps of three coordinates with known bifurcations, all of one family, so that tests compile it once."""

import jax
import jax.numpy as jnp
import numpy as np

MONOMIALS = ("", "x", "y", "z", "xx", "xy", "xz", "yy", "yz", "zz", "xxx", "yyy", "yyz", "yzz", "zzz")
ONE, A, C = np.eye(4)[:3]  # coefficients 1, a, c; the fourth is that of ac

_FACTORS = np.array([["_xyz".index(letter) for letter in name.rjust(3, "_")] for name in MONOMIALS])


def _step(a, c, Q, table, x, u):
    y = jnp.concatenate([jnp.ones_like(x[:1]), jnp.matmul(Q.T, x, precision="highest")])
    monomials = y[_FACTORS[:, 0]] * y[_FACTORS[:, 1]] * y[_FACTORS[:, 2]]
    weights = jnp.stack([jnp.ones_like(a), a, c, a * c])
    image = jnp.einsum("kmp,m,p->k", table, monomials, weights, precision="highest")
    return jnp.matmul(Q, image, precision="highest")


def polynomial(a, c, Q, table):
    """The family: Q times the polynomials of Qᵀx."""
    return jax.tree_util.Partial(_step, a, c, Q, table)


def turned(size=3):
    """A rotation that mixes all coordinates."""
    return np.linalg.qr(np.random.default_rng(size).normal(size=(size, size)))[0]


def rows(*polynomials, Q=None):
    """(Q, table) of up to three polynomials {monomial: coefficient or four of them}; other coordinates contract."""
    table = np.zeros((3, len(MONOMIALS), 4))
    for i, row in enumerate(table):
        contracting = {"xyz"[i]: 0.4, "xx": 0.3 if i else 0.0}
        polynomial_ = polynomials[i] if i < len(polynomials) else contracting
        for monomial, coefficient in polynomial_.items():
            row[MONOMIALS.index(monomial)] = coefficient * ONE if np.ndim(coefficient) == 0 else coefficient
    return np.eye(3) if Q is None else Q, table


def rotation(theta, size, cubic, *, by_x=0.0):
    """Two polynomials of y and z: a turn by θ of size ``size`` + by_x·x + cubic·(y² + z²)."""
    cosine, sine = np.cos(theta), np.sin(theta)

    def turn(first, second):
        return {
            "y": first * size,
            "z": second * size,
            "xy": first * by_x,
            "xz": second * by_x,
            "yyy": first * cubic,
            "yzz": first * cubic,
            "yyz": second * cubic,
            "zzz": second * cubic,
        }

    return turn(cosine, -sine), turn(sine, cosine)


# x' = 1 − a x² + y, y' = c x
HENON = rows({"": ONE, "xx": -A, "y": ONE}, {"x": C}, {"z": 0.4})
# x' = y, y' = a y (1 − (1 − c) x − c y)
DELAYED = rows({"y": ONE}, {"y": A, "xy": np.array([0, -1, 0, 1]), "yy": np.array([0, 0, 0, -1])}, {"z": 0.4})
FOLD_BESIDE_A_FLIP = rows(
    {"": A, "x": ONE, "xx": ONE, "yy": 0.4}, {"x": 0.1, "y": -ONE - C, "xy": 0.5, "yyy": 0.3}, {"z": 0.4}
)
FLIP_THAT_TURNS_SUBCRITICAL = rows({"x": 0.5}, {"y": -ONE - A, "yyy": C}, {"z": 0.4})
# x = −√−a is fixed; of (x, y) the trace is then 2 + c and the determinant 1 + c − 2x.
DOUBLE_ONE = rows({"x": ONE, "y": ONE}, {"": A, "y": ONE + C, "xx": ONE}, {"z": 0.4})
