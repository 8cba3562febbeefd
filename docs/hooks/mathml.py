"""Formulas as MathML, written when the site is built: browsers draw it without a program or a font of ours."""

import html
import re
from functools import cache
from xml.etree import ElementTree

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

#: A formula in a line, with the sign behind it, which must not begin the next line.
SPAN = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>([.,:;)]*)', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
SCRIPTS = {"msub", "msup", "msubsup", "munder", "mover", "munderover"}


def _balanced(text: str) -> str:
    """The formula with norms as pairs of fences, so that an index belongs to all between, and primes as signs."""
    text = re.sub(r"\\\|(.+?)\\\|", r"\\lVert \1\\rVert ", text, flags=re.DOTALL)
    text = re.sub(r"(?<!\\left)\\lVert", r"\\left\\lVert", text)
    return re.sub(r"(?<!\\right)\\rVert", r"\\right\\rVert", text).replace("'", "′")


def _tightened(formula: str) -> str:
    """The formula without the space that browsers put beside signs in indices, bars and strokes."""
    root = ElementTree.fromstring(formula.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', ""))
    tight = {sign for sign in root.iter("mo") if sign.text in ("|", "‖", "/", "′")}
    for one in root.iter():
        if one.tag in SCRIPTS:
            tight |= {sign for script in list(one)[1:] for sign in script.iter("mo")}
    for sign in tight:
        sign.attrib |= {"lspace": "0", "rspace": "0"}
    return ElementTree.tostring(root, encoding="unicode")


@cache
def _converted(text: str, display: str) -> str:
    formula = convert(_balanced(html.unescape(text).strip()), display=display)
    if "\\" in formula:  # a command that the converter does not know
        raise PluginError(f"no MathML for {text!r}")
    return _tightened(formula)


def _in_line(found: re.Match[str]) -> str:
    formula = _converted(found[1], "inline")
    return f'<span class="with-sign">{formula}{found[2]}</span>' if found[2] else formula


def on_page_content(text: str, **_: object) -> str:
    """The page with each formula converted."""
    text = BLOCK.sub(lambda found: f'<div class="formula">{_converted(found[1], "block")}</div>', text)
    return SPAN.sub(_in_line, text)
