"""The explorers as one HTML file each, which needs no kernel and no network."""

from typing import Any

from rnn_dynamics.explore import bundle
from rnn_dynamics.explore.settings import CliffSettings, NeuronSettings, Settings, as_json, checked

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body class="rnn-explore-page">
<main>
<h1>{title}</h1>
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
    module = bundle.module(settings.study).replace("export default", "const _ =")
    parts = {
        "{title}": settings.title,
        "{style}": bundle.style(),
        "{module}": module,
        "{settings}": as_json(settings),
    }
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
    return document(checked(NeuronSettings(w, b, epsilon, x0, steps, theme)))


def cliff_page(
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
) -> str:
    """The explorer of ``cliff`` as one HTML file, which a browser shows without a kernel or a network.

    L = (x_T − target)² of x_{t+1} = (1 − ε) x_t + ε σ(w x_t + b), computed in the browser in doubles.

    Args:
        w: weight where the descents start, from −1000 to 1000; all numbers are those that the page opens with.
        b: bias where they start, from −1000 to 1000.
        epsilon: Euler step in (0, 1].
        x0: start of the orbit, in [0, 1].
        target: in [0, 1].
        steps: T, from 0 to 500.
        rate: learning rate, above 0.
        clip: threshold of the clipped gradient, above 0.
        updates: from 0 to 500.
        theme: "light", "dark", or "auto", which follows the browser.

    Returns:
        The file's text.

    Raises:
        TypeError, ValueError: no number, or out of its range; another theme.
    """
    settings = CliffSettings(w, b, epsilon, x0, target, steps, rate, clip, updates, theme)
    return document(checked(settings))
