"""A user's module run in its own framework: outputs of a sequence, and its gradient of the last one.

No framework is imported here: the module that is given has brought its own, which is found in ``sys.modules``.
"""

import importlib.metadata
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_TORCH, _JAX = ("torch",), ("jax", "flax", "equinox", "haiku", "brainpy")
FRAMEWORKS = ("jax", "torch", "keras", "tf_keras", "flax", "equinox", "mlx", "paddle", "tinygrad")
_DISTRIBUTIONS = {"mlx": ("mlx", "mlx-metal"), "paddle": ("paddlepaddle", "paddlepaddle-gpu")}


class Runtime(NamedTuple):
    """How a module is run.

    Attributes:
        name: the framework and its version.
        outputs: (T, m) → (T, n), or (1, n) of a module that puts out the last alone.
        gradient: of inputs (T, m) and a cotangent v (n,) the gradient of ⟨v, y_T⟩ at all inputs, (T, m).
        dtype: what the inputs are given in.
        turned: the same module with the axis of its batch behind the steps, where that is to be tried.
    """

    name: str
    outputs: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray]
    dtype: np.dtype
    turned: "Callable[[], Runtime] | None" = None


def runtime_of(module: Any, framework: str | None, given: np.dtype) -> Runtime:
    """The module as something to run.

    Args:
        module: as ``audit`` takes it.
        framework: of a plain function; ``None`` where the module tells.
        given: dtype of the inputs, which a module without parameters computes in.

    Raises:
        TypeError: no module of a framework that is known, and no callable with a gradient.
    """
    if isinstance(module, tuple) and len(module) == 2 and isinstance(module[1], Mapping):
        return _of_jax("flax", _linen(*module), _widest(module[1], given))
    if callable(getattr(module, "vjp", None)) and callable(module):
        return _of_protocol(module, given)
    package = framework or _package_of(module)
    is_weights = isinstance(module, Mapping) and not callable(module)  # which modules of MLX are
    is_own = type(module).__module__.startswith("rnn_dynamics.")
    if is_weights or is_own or isinstance(module, str | os.PathLike):
        raise TypeError(_not_run(module))
    if framework is not None and framework not in sys.modules:
        raise ValueError(
            f"framework: expected one that is imported, of which the module is, got {framework!r}"
        )
    if package is None and callable(module):
        package = "jax"
    if package is None or not callable(module):
        raise TypeError(
            f"module: expected a module of {', '.join(FRAMEWORKS[1:])}, a pair of a module of linen and its "
            "variables, a function of JAX, or an object with __call__(inputs) and vjp(inputs, cotangent), got "
            f"{type(module).__name__}"
        )
    if package in ("keras", "tf_keras"):
        return _of_keras(package, module, given)
    makers = {"torch": _of_torch, "mlx": _of_mlx, "paddle": _of_paddle, "tinygrad": _of_tinygrad}
    if package in makers:
        return makers[package](module, given)
    made = {"flax": _nnx, "equinox": _equinox}.get(package)
    step = None if made is None or not hasattr(module, "__dict__") else made(module)
    return _of_jax(package, step or (lambda x: module(x)), _widest(module, given))


def _not_run(module: Any) -> str:
    """Why what was given in a module's place is none, and what to give."""
    if isinstance(module, Mapping):
        return (
            f"module: expected one that runs, got weights alone ({type(module).__name__}): give the module that "
            "has them, in its own framework"
        )
    if isinstance(module, str | os.PathLike):
        return (
            f"module: expected one that runs, got the path {str(module)!a:.80}: load it in its own framework; "
            "rd.interop.load gives the cell alone"
        )
    return (
        f"module: expected one of your own framework, got a {type(module).__name__} of this library, which goes to "
        "cell=, beside the module that it was read from"
    )


def _package_of(module: Any) -> str | None:
    packages = [cls.__module__.partition(".")[0] for cls in type(module).__mro__]
    return next((package for package in packages if package in FRAMEWORKS), None)


def _named(package: str) -> str:
    for distribution in _DISTRIBUTIONS.get(package, (package,)):
        try:
            return f"{package} {importlib.metadata.version(distribution).partition('+')[0]}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return package


def _rows(value: Any, steps: int) -> np.ndarray:
    """Outputs as (T, n), or (1, n): the first of several, without axes of a batch of one."""
    array = np.asarray(value)
    if array.ndim == 3 and 1 in array.shape[:2]:
        array = array[0] if array.shape[0] == 1 else array[:, 0]
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) not in (1, steps) or array.dtype.kind != "f":
        raise ValueError(
            f"module: expected outputs of shape ({steps}, n), or of the last step, (n,), for inputs of {steps} "
            f"steps, got {array.dtype} of shape {np.shape(value)}; give a function of the inputs that returns them"
        )
    return array


def first(value: Any) -> Any:
    """The outputs among what a module returns: the first of a tuple."""
    while isinstance(value, tuple | list) and value:
        value = value[0]
    if isinstance(value, Mapping):
        keys = sorted(map(str, value))
        raise TypeError(
            f"module: expected outputs as an array or a tuple that begins with one, got a {type(value).__name__} "
            f"with the keys {keys[:6]}: give a function that takes one out, lambda u: "
            f"module(u[None])[{keys[0]!r}], with framework= and cell="
            if keys
            else "module: expected outputs as an array, got an empty mapping"
        )
    return value


def _last(value: Any) -> Any:
    """y_T of outputs with or without an axis of a batch of one, in the framework's own arrays."""
    if value.ndim == 3:
        value = value[0] if value.shape[0] == 1 else value[:, 0]
    return value[-1] if value.ndim == 2 else value


def _widest(arrays: Any, given: np.dtype) -> np.dtype:
    dtypes = [getattr(leaf, "dtype", None) for leaf in jax.tree_util.tree_leaves(arrays)]
    floating = [d for d in dtypes if isinstance(d, np.dtype) and d.kind == "f"]  # keys' are of JAX alone
    return np.result_type(*floating) if floating else given


def _of_protocol(module: Any, given: np.dtype) -> Runtime:
    def outputs(u: np.ndarray) -> np.ndarray:
        return _rows(first(module(u)), len(u))

    def gradient(u: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        found = np.asarray(module.vjp(u, cotangent))
        if found.shape != u.shape:
            raise ValueError(
                f"module: expected vjp(inputs, cotangent) of the inputs' shape {u.shape}, got {found.shape}"
            )
        return found

    return Runtime(type(module).__name__, outputs, gradient, given)


def _of_jax(package: str, function: Callable[[Any], Any], dtype: np.dtype) -> Runtime:
    # One program each: a module may be run a hundred times.
    def forward(u: Any) -> Any:
        return first(function(u))

    @jax.jit
    def backward(u: Any, cotangent: Any) -> Any:
        y, pull = jax.vjp(lambda u: _last(forward(u)), u)
        return pull(cotangent.astype(y.dtype))[0]

    forward_program = jax.jit(forward)
    return Runtime(
        _named(package),
        lambda u: _rows(forward_program(jnp.asarray(u, dtype)), len(u)),
        lambda u, v: np.asarray(backward(jnp.asarray(u, dtype), jnp.asarray(v))),
        dtype,
    )


def _scanned(step: Callable[[Any, Any], tuple[Any, Any]], carry: Any) -> Callable[[Any], Any]:
    return lambda u: jax.lax.scan(step, carry, u)[1]


def _linen(module: Any, variables: Mapping[str, Any]) -> Callable[[Any], Any]:
    held = variables if "params" in variables else {"params": variables}
    if not hasattr(module, "initialize_carry"):
        return lambda u: first(module.apply(held, _batched(module, u)))

    def run(u: Any) -> Any:
        carry = module.initialize_carry(jax.random.key(0), u.shape[1:])
        carry = jax.tree_util.tree_map(lambda leaf: jnp.zeros_like(leaf, u.dtype), carry)
        return _scanned(lambda carry, one: module.apply(held, carry, one), carry)(u)

    return run


def _batched(module: Any, u: Any) -> Any:
    """A batch of one, where a module of Flax has its axis."""
    return u[:, None] if getattr(module, "time_major", False) is True else u[None]


def _nnx(module: Any) -> Callable[[Any], Any]:
    if not hasattr(module, "initialize_carry"):
        nnx = getattr(sys.modules.get("flax"), "nnx", None)
        if nnx is None or not isinstance(module, nnx.Module):
            return lambda u: first(module(_batched(module, u)))
        # An RNN counts the random numbers that it draws, in a program only if its counter was made there.
        graph, state = nnx.split(module)

        def call(u: Any) -> Any:
            made = nnx.merge(graph, jax.tree_util.tree_map(lambda leaf: leaf, state))
            return first(made(_batched(module, u)))

        return call
    size = getattr(module, "hidden_features", None) or module.features

    def run(u: Any) -> Any:
        zeros = jnp.zeros(size, u.dtype)
        return _scanned(module, (zeros, zeros) if "LSTM" in type(module).__name__ else zeros)(u)

    return run


def _equinox(module: Any) -> Callable[[Any], Any] | None:
    if not hasattr(module, "hidden_size"):
        return None

    def run(u: Any) -> Any:
        zeros = jnp.zeros(module.hidden_size, u.dtype)
        pair = "LSTM" in type(module).__name__

        def step(carry: Any, one: Any) -> tuple[Any, Any]:
            carry = module(one, carry)
            return carry, carry[0] if pair else carry

        return _scanned(step, (zeros, zeros) if pair else zeros)(u)

    return run


def _classes(module: Any) -> set[str]:
    return {cls.__name__ for cls in type(module).__mro__}


def _stepped(module: Any, u: Any, stack: Callable[[list], Any]) -> Any:
    """A cell over the rows of u, from the state that it starts with itself."""
    carry, outputs = None, []
    for t in range(u.shape[0]):
        found = module(u[t : t + 1]) if carry is None else module(u[t : t + 1], carry)
        carry = found
        outputs.append(first(found)[0])
    return stack(outputs)


def _of_torch(module: Any, given: np.dtype, batch_axis: int = 0) -> Runtime:
    torch = sys.modules["torch"]
    parameters = list(module.parameters()) if hasattr(module, "parameters") else []
    dtypes = {p.dtype for p in parameters if p.is_floating_point()}
    dtype = np.dtype(
        "float64" if torch.float64 in dtypes or (not dtypes and given == np.float64) else "float32"
    )

    kinds = _classes(module)
    is_one = "RNNBase" in kinds or not isinstance(module, torch.nn.Module)

    def forward(u: Any) -> Any:
        if "RNNCellBase" in kinds:
            return _stepped(module, u, torch.stack)
        return first(module(u if is_one else u.unsqueeze(batch_axis)))

    def outputs(u: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return _rows(forward(torch.tensor(u, dtype=getattr(torch, dtype.name))).numpy(), len(u))

    def gradient(u: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        x = torch.tensor(u, dtype=getattr(torch, dtype.name), requires_grad=True)
        y = _last(forward(x))
        if not y.requires_grad:
            return np.zeros_like(u)
        (found,) = torch.autograd.grad(y, x, torch.tensor(cotangent, dtype=y.dtype), allow_unused=True)
        return np.zeros_like(u) if found is None else found.numpy()

    def turned() -> Runtime:
        return _of_torch(module, given, 1)

    stays = is_one or batch_axis or "RNNCellBase" in kinds
    return Runtime(_named("torch"), outputs, gradient, dtype, None if stays else turned)


def _of_keras(package: str, module: Any, given: np.dtype) -> Runtime:
    keras = sys.modules[package]
    backend = "tensorflow" if package == "tf_keras" else keras.config.backend()
    layer = module
    if hasattr(module, "state_size") and not hasattr(module, "return_sequences"):
        layer = keras.layers.RNN(module, return_sequences=True)
    told = getattr(module, "compute_dtype", None)
    dtype = np.dtype(told if told in ("float32", "float64") else given)

    def forward(u: Any) -> Any:
        return first(layer(u[None]))

    if backend == "jax":
        return _of_jax("jax", forward, dtype)._replace(name=f"{_named(package)} on jax")
    if backend == "torch":
        return _of_torch(forward, dtype)._replace(name=f"{_named(package)} on torch")
    tf = sys.modules["tensorflow"]

    def gradient(u: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        x = tf.constant(u, dtype.name)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = _last(forward(x))
        found = tape.gradient(y, x, output_gradients=tf.constant(cotangent, y.dtype))
        return np.zeros_like(u) if found is None else found.numpy()

    def outputs(u: np.ndarray) -> np.ndarray:
        return _rows(forward(tf.constant(u, dtype.name)).numpy(), len(u))

    return Runtime(f"{_named(package)} on tensorflow", outputs, gradient, dtype)


def _of_mlx(module: Any, given: np.dtype) -> Runtime:
    mx, dtype = sys.modules["mlx.core"], np.dtype("float32")

    def outputs(u: np.ndarray) -> np.ndarray:
        return _rows(np.array(first(module(mx.array(u.astype(dtype))))), len(u))

    def gradient(u: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        x, v = mx.array(u.astype(dtype)), mx.array(cotangent.astype(dtype))
        return np.array(mx.vjp(lambda x: _last(first(module(x))), [x], [v])[1][0])

    return Runtime(_named("mlx"), outputs, gradient, dtype)


def _of_paddle(module: Any, given: np.dtype) -> Runtime:
    paddle = sys.modules["paddle"]
    parameters = list(module.parameters()) if hasattr(module, "parameters") else []
    wide = paddle.float64 in {p.dtype for p in parameters} or (not parameters and given == np.float64)
    dtype = np.dtype("float64" if wide else "float32")

    def forward(u: Any) -> Any:
        if "RNNCellBase" in _classes(module):
            return _of_cell(module, u, paddle)
        return first(module(u[None] if isinstance(module, paddle.nn.Layer) else u))

    def outputs(u: np.ndarray) -> np.ndarray:
        return _rows(forward(paddle.to_tensor(u.astype(dtype))).numpy(), len(u))

    def gradient(u: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        x = paddle.to_tensor(u.astype(dtype), stop_gradient=False)
        y, v = _last(forward(x)), paddle.to_tensor(cotangent.astype(dtype))
        # Of the inputs alone the fused layers fail.
        found = paddle.grad([y], [x, *parameters], grad_outputs=[v], allow_unused=True)[0]
        return np.zeros_like(u) if found is None else found.numpy()

    return Runtime(_named("paddle"), outputs, gradient, dtype)


def _of_cell(module: Any, u: Any, paddle: Any) -> Any:
    """Paddle's cells return the output and the states."""
    states, outputs = None, []
    for t in range(u.shape[0]):
        output, states = module(u[t : t + 1], states)
        outputs.append(output[0])
    return paddle.stack(outputs)


def _of_tinygrad(module: Any, given: np.dtype) -> Runtime:
    Tensor = sys.modules["tinygrad"].Tensor
    dtype = np.dtype("float32")

    def forward(u: Any) -> Any:
        if type(module).__name__ == "LSTMCell":
            return _stepped(module, u, lambda rows: rows[0].stack(*rows[1:]) if rows[1:] else rows[0][None])
        return first(module(u))

    def outputs(u: np.ndarray) -> np.ndarray:
        return _rows(forward(Tensor(u.astype(dtype))).numpy(), len(u))

    def gradient(u: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        x = Tensor(u.astype(dtype))
        y = _last(forward(x))
        return (y * Tensor(cotangent.astype(dtype))).sum().gradient(x)[0].numpy()

    return Runtime(_named("tinygrad"), outputs, gradient, dtype)
