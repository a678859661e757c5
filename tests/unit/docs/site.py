"""A built site, read as a browser would: its pages, what they link to, and what they load."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

_LOADED = dict.fromkeys(("script", "img", "source", "iframe", "video", "audio"), "src")
"""The elements that load something, and which attribute says what."""
_RELATIONS = {"stylesheet", "icon", "shortcut", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch"}


@dataclass
class PageOfSite:
    """One page."""

    name: str
    """Its path in the site."""
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    navigation: set[str] = field(default_factory=set)
    """Pages that its navigation leads to."""
    loads: list[str] = field(default_factory=list)
    """Addresses of what is loaded with it."""
    paragraphs: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self, page: PageOfSite) -> None:
        super().__init__()
        self.page = page
        self._in_paragraph = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attributes}
        self.page.ids |= {has["id"]} if "id" in has else set()
        if tag == "a" and "href" in has:
            self.page.links.append(has["href"])
            if "md-nav__link" in has.get("class", ""):
                self.page.navigation.add(urldefrag(urljoin(self.page.name, has["href"])).url)
        if tag == "link" and _RELATIONS & set(has.get("rel", "").split()):
            self.page.loads.append(has["href"])
        if _LOADED.get(tag) in has:
            self.page.loads.append(has[_LOADED[tag]])
        if tag == "p":
            self._in_paragraph = True
            self.page.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_paragraph = self._in_paragraph and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._in_paragraph:
            self.page.paragraphs[-1] += data


class Site:
    """All pages of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = {name: self._read(name) for name in self._names()}

    def _names(self) -> list[str]:
        # The page for addresses that are not there names everything from the root of a server.
        found = [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.html")]
        return sorted(name for name in found if name != "404.html")

    def _read(self, name: str) -> PageOfSite:
        page = PageOfSite(name)
        _Reader(page).feed((self.folder / name).read_text("utf-8"))
        return page

    def dead_links(self, page: PageOfSite) -> list[str]:
        """What a page links to or loads that is not there, anchors included."""
        return [link for link in [*page.links, *page.loads] if not self._alive(page.name, link)]

    def _alive(self, name: str, link: str) -> bool:
        if urlsplit(link).scheme in {"http", "https", "mailto", "data"}:
            return True
        where, anchor = urldefrag(urljoin(name, link))
        if not (self.folder / unquote(where)).is_file():
            return False
        return not anchor or where not in self.pages or unquote(anchor) in self.pages[where].ids

    @functools.cached_property
    def style_sheets(self) -> dict[str, str]:
        """Name -> text."""
        return {path.name: path.read_text("utf-8") for path in self.folder.rglob("*.css")}

    def foreign(self) -> list[str]:
        """Addresses of other hosts that a page or a style sheet loads something from."""
        found = [link for page in self.pages.values() for link in page.loads]
        for text in self.style_sheets.values():
            found += re.findall(r"url\(\s*[\"']?([^)\"']+)", text) + re.findall(r"@import\s+[\"']([^\"']+)", text)
        return [one for one in found if re.match(r"([a-z]+:)?//", one)]
