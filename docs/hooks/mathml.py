"""Formulas as MathML, written when the site is built: browsers draw it without a program or a font of ours."""

import html
import re
from functools import cache

from latex2mathml.converter import convert

SPAN = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


@cache
def _converted(text: str, display: str) -> str:
    return convert(html.unescape(text).strip(), display=display)


def on_page_content(text: str, **_: object) -> str:
    """The page with each formula converted."""
    text = BLOCK.sub(lambda found: f'<div class="formula">{_converted(found[1], "block")}</div>', text)
    return SPAN.sub(lambda found: _converted(found[1], "inline"), text)
