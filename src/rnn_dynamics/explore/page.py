"""The explorer as one HTML file that needs no kernel and no network."""

from typing import Any

from rnn_dynamics.explore import bundle
from rnn_dynamics.explore.settings import Settings, checked

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>One neuron: bifurcations, orbits, gradients</title>
<style>
{style}
</style>
</head>
<body class="rnn-explore-page">
<main>
<h1>One neuron: bifurcations, orbits, gradients</h1>
<div id="explorer"></div>
</main>
<script type="module">
{module}
globalThis.explorer = mount(document.getElementById("explorer"), {settings});
</script>
</body>
</html>
"""


def document(settings: Settings) -> str:
    """The page of settings that are checked."""
    module = bundle.module().replace("export default", "const _ =")
    parts = {"{style}": bundle.style(), "{module}": module, "{settings}": settings.json()}
    page = _PAGE
    for name, text in parts.items():
        page = page.replace(name, text)
    return page


def page(
    w: Any = 5.0,
    b: Any = -2.5,
    epsilon: Any = 1.0,
    x0: Any = 0.5,
    *,
    steps: Any = 60,
    theme: Any = "auto",
) -> str:
    """The explorer of ``neuron`` as one HTML file, which a browser shows without a kernel or a network.

    x_{t+1} = (1 − ε) x_t + ε σ(w x_t + b), computed in the browser in doubles.

    Args:
        w: weight, from −1000 to 1000; all numbers are those that the page opens with.
        b: bias, from −1000 to 1000.
        epsilon: Euler step in (0, 1].
        x0: start in [0, 1].
        steps: T, from 0 to 2000.
        theme: "light", "dark", or "auto", which follows the browser.

    Returns:
        The file's text.

    Raises:
        TypeError, ValueError: no number, or out of its range; another theme.
    """
    return document(checked(w, b, epsilon, x0, steps, theme))
