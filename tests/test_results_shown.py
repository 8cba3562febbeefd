"""Results as text and as a notebook's table: short for any size, escaped, no address, no array as a whole."""

import dataclasses
import functools
import html
import re
import time
import types
from html.parser import HTMLParser
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot

import rnn_dynamics as rd
from rnn_dynamics import plots
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.rollout import Trajectories
from rnn_dynamics.numerics.described import described, folded
from rnn_dynamics.numerics.results.page import summary_of
from rnn_dynamics.numerics.sweep import Sweep
from tests import results_made, test_conventions as conventions
from tests.results_made import two_units

_TAGS = {
    *("div", "strong", "pre", "details", "summary"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
}
_EVIL = "<script>alert('1')</script>\"&"


@pytest.fixture(params=results_made.MAKERS)
def several(request: Any) -> dict[str, Any]:
    """Results of every class, group by group."""
    return results_made.group(request.param)


class _Page(HTMLParser):
    """Raises where tags are not closed in order; gathers tags, texts and the rows of each table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.rows: list[int] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "table":
            self.rows.append(0)
        elif tag == "tr":
            self.rows[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _parts(group: str, *names: str) -> list[Any]:
    return [results_made.group(group)[name] for name in names]


def test_pictures_keep_text_and_settings_and_no_axis_counts_in_logarithms(several: dict[str, Any]) -> None:
    for number, (name, result) in enumerate(several.items()):
        before = dict(mpl.rcParams)
        ax = result.plot()
        assert dict(mpl.rcParams) == before, name
        if number == 0:  # one style sets the text of all
            with plots.style():
                conventions.assert_text_is_text(ax.figure, name)
        conventions.assert_no_logarithms(ax.figure, name)
        assert dict(mpl.rcParams) == before, name
        pyplot.close("all")


class TestTables:
    def test_every_table_is_small_balanced_and_without_scripts(self, several: dict[str, Any]) -> None:
        for name, result in several.items():
            text = result._repr_html_()
            page = _Page(text)
            assert {tag for tag, _ in page.tags} <= _TAGS, name
            assert all(set(attrs) <= {"style", "title", "scope"} for _, attrs in page.tags), name
            assert max(page.rows) <= 21, (name, page.rows)
            assert len(text) < 20_000, (name, len(text))

    def test_every_table_says_what_it_is_and_what_its_repr_says(self, several: dict[str, Any]) -> None:
        for name, result in several.items():
            cls, shown = type(result), _one_line(_Page(result._repr_html_()).text)
            assert cls.__name__ in shown, name
            summary = summary_of(cls)
            assert summary.endswith("."), name
            assert _one_line(summary) in shown, name
            for line in str(result).splitlines()[:20]:
                assert _one_line(line)[:190] in shown, (name, line)

    def test_a_reader_of_screens_is_told_heads_and_captions(self, several: dict[str, Any]) -> None:
        for name, result in several.items():
            page = _Page(result._repr_html_())
            tags = [tag for tag, _ in page.tags]
            assert tags.count("caption") == tags.count("table") >= 1, name
            assert all(attrs.get("scope") in ("row", "col") for tag, attrs in page.tags if tag == "th"), name

    def test_colours_are_those_of_the_page(self, several: dict[str, Any]) -> None:
        for name, result in several.items():
            styles = ";".join(attrs.get("style", "") for _, attrs in _Page(result._repr_html_()).tags)
            assert set(re.findall(r"(?:color|background):([^;]*)", styles)) <= {"inherit", "transparent"}, (
                name
            )

    def test_texts_are_escaped(self) -> None:
        (event,), (bound,), (sums,) = (
            _parts("branches", "SpecialPoint"),
            _parts("spectra", "Bound"),
            _parts("credit", "PartialSums"),
        )
        run, verdict = results_made.runs()["two"], results_made.group("verdicts")["Diagnosis"]
        cell = rd.ElmanRNN(np.eye(2), np.zeros(2), activation=Activation(_EVIL, jnp.tanh))
        gates = {f"layer 0 {_EVIL}": 0.5, _EVIL: 0.25}

        class Mine(type(bound)):  # type: ignore[misc]
            __doc__ = f"A {_EVIL} of a user."
            _units: ClassVar = {"log": _EVIL}

        Mine.__name__ = f"Mine{_EVIL}"
        for result in (
            dataclasses.replace(event, kind=_EVIL),
            dataclasses.replace(bound, name=_EVIL, formula=_EVIL),
            Mine(**vars(bound)),
            dataclasses.replace(sums, parameters=(_EVIL,) * 12),
            dataclasses.replace(run, inputs={_EVIL: _EVIL}, cell=_EVIL),
            rd.rollout(cell, np.zeros(2), steps=1),
            dataclasses.replace(verdict, regime=_EVIL),
            dataclasses.replace(verdict, gates=gates, carries={_EVIL: -0.1}),
        ):
            text = result._repr_html_()
            assert "script" not in {tag for tag, _ in _Page(text).tags}
            assert html.escape(_EVIL[:8]) in text
            assert "<script" not in text

    def test_a_list_shows_its_first_rows(self) -> None:
        (points,), (branch,) = _parts("states", "FixedPoints"), _parts("branches", "Branch")
        text = points._repr_html_()
        assert "saddle" in text
        assert "residual" in text
        page = _Page(branch._repr_html_())
        assert f"… {len(branch) - 10} more" in page.text
        assert page.rows[0] == 11

    def test_labels_are_counted_by_their_words(self) -> None:
        labels, points, ends = _parts("states", "BasinLabels", "FixedPoints", "OrbitEnds")
        assert "32 × 0 (fixed point), 32 × 1 (fixed point)" in labels._repr_html_()
        some = dataclasses.replace(labels, labels=np.array([0, -1, -2, -2]))
        assert "2 × diverged, 1 × undecided, 1 × 0 (fixed point)" in some._repr_html_()
        assert "1 saddle, 2 stable" in points._repr_html_()
        assert "4 × POINT" in ends._repr_html_()
        spectrum = results_made.group("spectra")["LyapunovSpectrum"]._repr_html_()
        assert re.search(r"\d × (RESOLVED|UNRESOLVED)", spectrum)

    def test_units_stand_beside_the_numbers(self) -> None:
        text = _Page(results_made.group("verdicts")["Diagnosis"]._repr_html_()).text
        assert "nats a step" in text
        assert "lags" in text

    def test_a_verdict_is_told_by_layer_and_gate(self) -> None:
        key, n = jax.random.key(0), 4
        W = 0.3 * np.asarray(jax.random.normal(key, (4 * n, n)))
        layers = rd.cells.Stack([rd.LSTM(W, np.zeros(4 * n), W), rd.LSTM(W, np.zeros(4 * n), W)])
        found: Any = rd.diagnose(rd.rollout(layers, np.zeros(4 * n), np.ones((12, n))))
        page = _Page(found._repr_html_())
        assert "by layer and gate" in page.text
        for name, mean in found.gates.items():
            layer, gate = re.fullmatch(r"(layer \d) (.+)", name).groups()  # type: ignore[union-attr]
            assert re.search(rf"{layer}{re.escape(gate)}{mean:.2f}", page.text)

    def test_one_scaled_number_is_no_list(self) -> None:
        one = rd.doya.sensitivities(5.0, -2.5, 0.4999, 10).initial
        with pytest.raises(TypeError, match="without batch axes"):
            len(one)
        assert repr(one) in one._repr_html_()

    def test_inside_jit_nothing_is_asked_of_the_numbers(self) -> None:
        texts = []

        def inside(x: Any) -> Any:
            texts.append(rd.Trajectory(None, None, x, jnp.int32(-1))._repr_html_())
            return x

        jax.jit(inside)(jnp.zeros((2, 1)))
        assert "traced" in texts[0]

    def test_a_large_result_takes_no_longer_than_a_small_one(self) -> None:
        """The arrays here have no memory behind their numbers: to read or copy them would take minutes."""
        huge = np.broadcast_to(np.float64(0.5), (2**40, 2))
        run = rd.Trajectory(two_units(), [huge] * 1000, huge, np.int32(-1))  # type: ignore[arg-type]
        grid = Sweep({"w": huge[:, 0]}, {f"v{i}": huge for i in range(500)}, {"function": "f" * 10**6})
        named = Sweep({"w": np.arange(9.0)}, {}, {"labels": {"w": ["name" * 99] * 9}})
        begin = time.perf_counter()
        for result in (run, grid, named):
            assert len(result._repr_html_()) < 20_000
        assert time.perf_counter() - begin < 1
        assert "not looked at" in run._repr_html_()
        assert "1099511627776 × 2 float64" in run._repr_html_()


class TestTexts:
    def test_lines_are_at_most_a_hundred_characters_long(self, several: dict[str, Any]) -> None:
        for name, result in several.items():
            assert max(map(len, repr(result).splitlines())) <= 100, name
            assert len(repr(result)) < 1000, name

    def test_no_array_is_printed_whole_and_no_address(self, several: dict[str, Any]) -> None:
        for name, result in several.items():
            for text in (repr(result), str(result), result._repr_html_()):
                assert not re.search(r"\b[aA]rray\(|0x[0-9a-f]{6}", text), name

    def test_long_ones_break_between_what_they_list(self) -> None:
        found = rd.doya.equilibria(5.0, -2.5)
        lines = repr(found).splitlines()
        assert len(lines) == 2
        assert all(len(line) <= 100 for line in lines)
        assert all(line.endswith(";") for line in lines[:-1])
        assert all(line.startswith("    x = ") for line in lines[1:])
        attractors = dataclasses.replace(
            results_made.group("states")["Attractors"], kinds=np.zeros(400, int), steps=0
        )
        lines = repr(attractors).splitlines()
        assert len(lines) == 8
        assert all(len(line) <= 100 for line in lines)
        assert lines[0].endswith("fixed point,")
        assert lines[-1].endswith("…")

    def test_lines_are_folded_at_the_outermost_separator(self) -> None:
        assert folded("a" * 100) == "a" * 100
        inner = "f(" + ", ".join(["x = 1"] * 12) + ")"
        assert folded(f"({inner}, {inner})").splitlines() == [f"({inner},", f"    {inner})"]
        words = folded(" ".join(["word"] * 40)).splitlines()
        assert [len(line) <= 100 for line in words] == [True] * len(words)
        assert len(words) == 3
        assert " ".join(line.strip() for line in words) == " ".join(["word"] * 40)
        assert [len(line) for line in folded("x" * 250).splitlines()] == [100, 100, 58]
        assert len(folded("x, " * 10_000).splitlines()) == 8
        assert folded("one\ntwo, " + "x" * 99).splitlines()[0] == "one"

    def test_what_is_broken_into_lines_says_the_same(self, several: dict[str, Any]) -> None:
        for name, result in several.items():
            assert _one_line(repr(result)) == _one_line(result._said()), name


def _step(w: Any, x: Any, u: Any) -> Any:
    return 0.5 * x + w.sum()


class _Point(NamedTuple):
    w: Any
    name: str = "p"


@dataclasses.dataclass(frozen=True)
class _OfFields:
    w: Any

    def __call__(self, x: Any, u: Any) -> Any:
        return 0.5 * x


class _OfAttributes:
    def __init__(self, w: Any) -> None:
        self.w = w

    def __call__(self, x: Any, u: Any) -> Any:
        return 0.5 * x

    def method(self, x: Any, u: Any) -> Any:
        return 0.5 * x


class _Telling(_OfAttributes):
    def __repr__(self) -> str:
        return f"_Telling({self.w!r} at {hex(id(self))})"


_WEIGHTS = np.arange(400.0).reshape(20, 20)
_SHORT = (lambda x, u: 0.5 * x,)[0]


class TestCells:
    """What stands for the cell in a trajectory's text; all kinds of callables that ``rollout`` takes."""

    @pytest.mark.parametrize(
        ("cell", "text"),
        [
            (jax.tree_util.Partial(_step, jnp.asarray(_WEIGHTS)), "Partial(_step, float64[20, 20])"),
            (functools.partial(_step, _WEIGHTS), "partial(_step, float64[20, 20])"),
            (functools.partial(_step, jnp.float64(0.5)), "partial(_step, 0.5)"),
            (functools.partial(_step, w=_WEIGHTS), "partial(_step, w: float64[20, 20])"),
            (_SHORT, "<lambda>"),
            (jax.jit(_SHORT), "<lambda>"),
            (_OfFields(_WEIGHTS), "_OfFields(w: float64[20, 20])"),
            (_OfFields((_WEIGHTS, {"b": [1, 2]})), "_OfFields(w=(float64[20, 20], {'b': [1, 2]}))"),
            (_OfAttributes(_WEIGHTS), "_OfAttributes"),
            (_OfAttributes(_WEIGHTS).method, "_OfAttributes.method"),
            (_Telling(_WEIGHTS), "_Telling"),
            (_Telling("me"), "_Telling('me')"),
            (rd.DoyaNeuron(5.0, -2.4), "DoyaNeuron(w=5, b=-2.4, epsilon=1, w_in=0)"),
            (
                rd.ElmanRNN(np.eye(3), np.zeros(3)),
                "ElmanRNN(W: float64[3, 3], b: float64[3], activation=tanh)",
            ),
            (
                rd.ElmanRNN(np.eye(3), np.zeros(3), activation=lambda z: z),
                "ElmanRNN(W: float64[3, 3], b: float64[3], activation=<lambda>)",
            ),
            (
                rd.cells.Stack([rd.ElmanRNN(np.eye(2), np.zeros(2))]),
                "Stack(cells=(ElmanRNN(W: float64[2, 2], b: float64[2], activation=tanh),), sizes=(2,))",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_are_named_with_what_they_hold(self, cell: Any, text: str) -> None:
        run = rd.Trajectory(cell, None, jnp.zeros((3, 2)), jnp.int32(-1))
        assert _one_line(repr(run)) == f"Trajectory({text}, 2 steps of 2 float64)"
        several = Trajectories((run, run))
        assert _one_line(repr(several)) == f"Trajectories({text}, 2 runs of 2 steps of 2 float64)"
        for result in (run, several):
            page = result._repr_html_()
            assert html.escape(text) in page
            assert not re.search(r"0x[0-9a-f]{6}|[aA]rray\(|380\.", page + repr(result))

    def test_of_other_libraries_tell_their_leaves(self) -> None:
        cell = eqx.nn.GRUCell(3, 8, key=jax.random.key(0))
        text = described(cell)
        assert text.startswith("GRUCell(weight_ih: float")
        assert "weight_hh: float" in text
        assert "bias: float" in described(eqx.nn.MLP(2, 2, 9, 1, key=jax.random.key(0)))

    def test_a_long_stack_is_told_in_short(self) -> None:
        layers = rd.cells.Stack([rd.ElmanRNN(np.eye(2), np.zeros(2), np.eye(2))] * 60)
        text = repr(rd.Trajectory(layers, None, jnp.zeros((3, 120)), jnp.int32(-1)))
        assert len(text.splitlines()) <= 8
        assert len(repr(layers)) < 1500

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, "None"),
            (0.1 + 0.2, "0.3"),
            (True, "True"),
            (2**3000, "an integer of 3001 bits"),
            (1 - 2j, "1-2j"),
            (np.float32(0.1), "0.1"),
            (np.str_("ab"), "'ab'"),
            (jnp.bfloat16(2.5), "2.5"),
            (np.arange(6).reshape(2, 3), "[[0, 1, 2], [3, 4, 5]]"),
            (np.arange(7), "int64[7]"),
            (np.array([np.nan, -np.inf]), "[nan, -inf]"),
            (np.zeros((0, 2)), "float64[0, 2]"),
            (np.array(["a", "b"]), "<U1[2]"),
            (np.array([object()]), "object[1]"),
            (rd.Status.DIVERGED, "DIVERGED"),
            ("x" * 500, "'" + "x" * 200 + "'…"),
            (list(range(99)), "[0, 1, 2, 3, 4, 5, … 93 more]"),
            ({"a": _WEIGHTS, 2: (1,)}, "{'a': float64[20, 20], 2: (1,)}"),
            (set(), "{}"),
            (_Point(_WEIGHTS), "_Point(w: float64[20, 20], name='p')"),
            (object(), "object"),
            (types.SimpleNamespace(a=_WEIGHTS), "SimpleNamespace"),
            ([[[[[[1]]]]]], "[[[[list(…)]]]]"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_values_of_every_kind(self, value: Any, text: str) -> None:
        assert described(value) == text

    def test_keys_and_arrays_given_away_are_named_only(self) -> None:
        assert described(jax.random.key(0)).startswith("key<")
        gone = jnp.arange(3.0)
        gone.delete()
        assert described(gone) == "deleted float64[3]"
