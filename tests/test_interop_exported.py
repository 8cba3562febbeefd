"""Programs of torch.export, by stand-ins with the attributes that PyTorch 2.13 gives them, and kinds of modules."""

import re
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from rnn_dynamics.interop import from_module, from_torch

UNITS, INPUTS = 3, 2


def weights(gates, *, layers=1, back=False, bias=True, projection=None, cell=False):
    """Weights by PyTorch's names, in the order of its operations."""
    draws, found = np.random.default_rng(0), {}
    wide = projection or UNITS
    for layer in range(layers):
        for end in ("", "_reverse")[: 1 + back]:
            end = "" if cell else f"_l{layer}{end}"
            taken = INPUTS if layer == 0 else wide * (1 + back)
            shapes = {"weight_ih": (gates * UNITS, taken), "weight_hh": (gates * UNITS, wide)}
            shapes |= dict.fromkeys(("bias_ih", "bias_hh"), (gates * UNITS,)) if bias else {}
            shapes |= {"weight_hr": (projection, UNITS)} if projection else {}
            found |= {name + end: draws.normal(size=shape) for name, shape in shapes.items()}
    return found


def program(*operations, prefixes=("rnn.",)):
    """What torch.export.export gives: of each operation its name and weights, and how it was called."""
    nodes, parameters, state = [SimpleNamespace(op="placeholder", target="x", name="x")], {}, {}
    for (target, found, *rest), prefix in zip(operations, prefixes, strict=True):
        given = []
        for name, array in found.items():
            own = f"p_{prefix}{name}".replace(".", "_")
            parameters[own], state[prefix + name] = prefix + name, array
            given.append(SimpleNamespace(name=own))
        args = ("x", "h", given, *rest) if rest else ("x", "h", *given)
        nodes.append(SimpleNamespace(op="call_function", target=f"aten.{target}", name=target, args=args))
    signature = SimpleNamespace(inputs_to_parameters=parameters, inputs_to_buffers={})
    cls = type("ExportedProgram", (SimpleNamespace,), {"__module__": "torch.export.exported_program"})
    return cls(graph=SimpleNamespace(nodes=nodes), graph_signature=signature, state_dict=state)


@pytest.mark.parametrize(
    ("kind", "target", "made", "options"),
    [
        ("lstm", "lstm.input", {"gates": 4, "layers": 2}, {}),
        ("lstm", "lstm.input", {"gates": 4, "projection": 2, "bias": False}, {}),
        ("gru", "gru.input", {"gates": 3, "back": True}, {"direction": "reverse"}),
        ("rnn_relu", "rnn_relu.input", {"gates": 1, "bias": False}, {}),
        ("gru", "gru_cell.default", {"gates": 3, "cell": True}, {}),
        ("rnn_tanh", "rnn_tanh_cell.default", {"gates": 1, "cell": True, "bias": False}, {}),
    ],
)
def test_a_programs_graph_tells_kind_and_weights(kind, target, made, options):
    found = weights(**made)
    rest = (
        ()
        if "cell" in made
        else (made.get("bias", True), made.get("layers", 1), 0.0, False, "back" in made, False)
    )
    source = program((target, found, *rest))
    expected = from_torch(found, kind=kind, **options)
    cell = from_module(source, **options)
    assert type(cell) is type(expected)
    for one, other in zip(*map(jax.tree_util.tree_leaves, (cell, expected)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_operation_on_top_of_itself_is_no_single_layer():
    """The state of the step before may come from it, its input may not."""
    found = weights(3, cell=True)
    source = program(("gru_cell.default", found), ("gru_cell.default", found), prefixes=("c.", "c."))
    first, second = source.graph.nodes[1:]
    second.args = ("x", first, *second.args[2:])
    np.testing.assert_array_equal(from_torch(source).W, found["weight_hh"])
    second.args = (first, first, *second.args[2:])
    between = SimpleNamespace(op="call_function", target="aten.stack", name="stack", args=([first],))
    other = program(("gru_cell.default", found), ("gru_cell.default", found), prefixes=("c.", "c."))
    other.graph.nodes[2].args = (between, "h", *other.graph.nodes[2].args[2:])
    other.graph.nodes = [other.graph.nodes[0], first, between, other.graph.nodes[2]]
    for each in (source, other):
        with pytest.raises(ValueError, match=r'^source: .*on top of itself.*: prefix="c" takes it once'):
            from_torch(each)
        np.testing.assert_array_equal(from_torch(each, prefix="c").W, found["weight_hh"])


def test_several_operations_are_told_apart():
    gru, relu = (
        ("gru.input", weights(3), True, 1, 0.0, False, False, False),
        ("rnn_relu_cell.default", weights(1, cell=True)),
    )
    source = program(gru, relu, prefixes=("a.", "b."))
    assert from_torch(source, prefix="b").activation.name == "relu"
    with pytest.raises(ValueError, match=r'^source: .*got 2: choose by prefix="a" or prefix="b"'):
        from_torch(source)
    with pytest.raises(ValueError, match=r'^prefix: .*\'c\'; prefix="a" or prefix="b"'):
        from_torch(source, prefix="c")
    source.graph_signature.inputs_to_parameters.popitem()
    with pytest.raises(ValueError, match=r"^source: .*which it computes: .*remove_parametrizations"):
        from_torch(source, prefix="b")


def test_a_decomposed_program_is_read_by_names():
    source = program(("gru.input", weights(3), True, 1, 0.0, False, False, False))
    source.graph.nodes = source.graph.nodes[:1]
    assert type(from_torch(source, prefix="rnn")).__name__ == "GRU"


class GRU:
    __module__ = "torch.nn.modules.rnn"
    mode = "GRU"

    def forward(self, x): ...

    def state_dict(self):
        return weights(3)


class Named(GRU):
    """A user's, its step PyTorch's."""

    __module__ = "mine"


class Doubled(Named):
    """A user's, of a step of its own."""

    def forward(self, x): ...


class Normed:
    """A user's own, of a step of its own, whose weights have PyTorch's names."""

    __module__ = "mine"

    def state_dict(self):
        return weights(3)

    def forward(self, x): ...


def test_a_class_that_overrides_its_forward_is_refused():
    assert type(from_torch(Named())).__name__ == "GRU"
    with pytest.raises(
        ValueError, match=r"^source: expected a GRU of PyTorch, got Doubled, which overrides forward"
    ):
        from_torch(Doubled())
    with pytest.raises(ValueError, match=r"got Normed, .* from_torch\(source.state_dict\(\)\), else") as said:
        from_torch(Normed())
    source = Normed()
    call = re.search(r"from_torch\(.*?\(\).*?\)", str(said.value))[0]
    np.testing.assert_array_equal(
        eval(call, {"from_torch": from_torch, "source": source}).W, weights(3)["weight_hh_l0"]
    )
    model = SimpleNamespace(
        state_dict=lambda: {f"enc.{name}": each for name, each in weights(3).items()}, enc=source
    )
    with pytest.raises(ValueError, match=r'from_torch\(source.state_dict\(\), prefix="enc."\), else'):
        from_torch(model, prefix="enc")


def test_lstms_that_are_to_be_quantised_and_that_are():
    plain = weights(4)
    named = {"weight_ih_l0": "igates.weight", "weight_hh_l0": "hgates.weight", "bias_ih_l0": "igates.bias"}
    named["bias_hh_l0"] = "hgates.bias"
    source = {f"layers.0.layer_fw.cell.{named[name]}": array for name, array in plain.items()}
    np.testing.assert_array_equal(from_torch(source).W, from_torch(plain).W)
    for name in ("0._all_weight_values.0.param", "_packed_weight_hh"):
        with pytest.raises(ValueError, match=rf"^source: .*packed weights {name} .*from_torch\(module\)"):
            from_torch({name: object()})
