"""The built site is held against two promises: every link leads somewhere, and nothing is loaded from elsewhere."""

import re
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

#: What a browser loads by itself, by tag and attribute. A link that a reader may click is none of these.
LOADED = {
    ("audio", "src"),
    ("embed", "src"),
    ("iframe", "src"),
    ("image", "href"),
    ("img", "src"),
    ("img", "srcset"),
    ("input", "src"),
    ("link", "href"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("source", "srcset"),
    ("track", "src"),
    ("use", "href"),
    ("video", "poster"),
    ("video", "src"),
}
#: Kinds of <link> that name a page and load nothing.
NAMES_A_PAGE = {"canonical", "next", "prev", "alternate", "author", "license"}
ELSEWHERE = re.compile(r"^\s*(?:https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s;]+)""", re.IGNORECASE)


class _Page(HTMLParser):
    """What a page loads, links to, and has as anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)
        self.loaded += IN_STYLES.findall(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        names_a_page = tag == "link" and set(given.get("rel", "").split()) & NAMES_A_PAGE
        for name, value in given.items():
            if (tag, name.removeprefix("xlink:")) in LOADED and not names_a_page:
                self.loaded.append(value)
            elif (tag, name) == ("a", "href"):
                self.linked.append(value)


def _target(page: Path, link: str) -> tuple[Path, str] | None:
    """The file and the anchor that a link inside the site leads to; ``None`` for one that leads out of it."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = page.parent / urllib.parse.unquote(parts.path) if parts.path else page
    if path.is_dir():
        path = path / "index.html"
    return path.resolve(), urllib.parse.unquote(parts.fragment)


def faults(site: Path) -> list[str]:
    """What the pages in a folder load from elsewhere, and their links that lead nowhere, one line each."""
    site = site.resolve()
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name} loads {each}" for each in page.loaded if ELSEWHERE.match(each)]
        for link in dict.fromkeys([*page.linked, *page.loaded]):
            target = _target(path, link)
            if target is None or name.name == "404.html":  # its links are those of the server's root
                continue
            file, anchor = target
            if not file.is_file():
                found.append(f"{name} leads to {link}, which is no file")
            elif anchor and file in pages and anchor not in pages[file].anchors:
                found.append(f"{name} leads to {link}, which is no place on that page")
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(site)} loads {each}" for each in IN_STYLES.findall(text)]
    return found


def on_post_build(config: MkDocsConfig) -> None:
    """A site with a fault is none: the build fails and names them all."""
    found = faults(Path(config.site_dir))
    if found:
        raise PluginError("\n".join(found))
