"""Links out of docs/ that work on a forge, made to work on the site as well: what they lead to becomes a page of it."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

DOCS = "docs"
START = "start.md"
"""The page that README.md is."""
DECISIONS = "decisions/index.md"
SHELF = "source"
"""Where on the site other files of the repository are."""
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#\s])")
_CODE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1[ \t]*$|(`+)[^`\n]+\2", re.DOTALL | re.MULTILINE)
_LANGUAGES = {".py": "python", ".yml": "yaml", ".yaml": "yaml", ".sh": "sh", ".json": "json", ".toml": "toml"}
_QUIET = "---\nsearch: {exclude: true}\n---\n\n"
"""Search finds what is written for readers, not each line of a program."""


def place_of(page: str) -> str:
    """Where in the repository what a page shows is, from the page's own name in docs/."""
    if page == START:
        return "README.md"
    return page.removeprefix(f"{SHELF}/") if page.startswith(f"{SHELF}/") else f"{DOCS}/{page}"


def page_of(place: str, root: Path) -> str | None:
    """The page that shows what is at a place in the repository; None: there is nothing."""
    if place == "README.md":
        return START
    if place == f"{DOCS}/{posixpath.dirname(DECISIONS)}":
        return DECISIONS
    if place.startswith(f"{DOCS}/"):
        return place.removeprefix(f"{DOCS}/")
    found = root / place
    if place.startswith("..") or not found.exists():
        return None
    if found.is_dir():
        # What a forge shows of a folder; to the site both are the folder's first page.
        return f"{SHELF}/{place}/{'README' if (found / 'README.md').is_file() else 'index'}.md"
    return f"{SHELF}/{place}" if place.endswith(".md") else f"{SHELF}/{place}.md"


def rewritten(markdown: str, page: str, root: Path) -> str:
    """The text of a page with links that lead to pages of the site; what leads nowhere stays, and is complained of."""

    def lead(target: str) -> str:
        there = page_of(_resolved(target, page), root)
        return target if there is None else posixpath.relpath(there, posixpath.dirname(page) or ".")

    return _map_links(markdown, lead)


def shelf(pages: Mapping[str, str], root: Path) -> dict[str, str]:
    """Pages for everything that these pages link to outside docs/, and so on from there: name -> Markdown.

    Args:
        pages: Name in docs/ -> Markdown of the pages there are.
        root: The repository.
    """
    made: dict[str, str] = {}
    waiting = [(page, text) for page, text in pages.items()]
    while waiting:
        page, text = waiting.pop()
        for place in (_resolved(target, page) for target in targets(text)):
            there = page_of(place, root)
            if there is not None and there.startswith(f"{SHELF}/") and there not in made:
                made[there] = _shown(root / place, place)
                waiting.append((there, made[there]))
    return made


def targets(markdown: str) -> list[str]:
    """What a text links to in the same repository, without anchors."""
    found: list[str] = []

    def note(target: str) -> str:
        found.append(target)
        return target

    _map_links(markdown, note)
    return found


def _map_links(markdown: str, lead: Callable[[str], str]) -> str:
    def one(match: re.Match[str]) -> str:
        target = match.group(1)
        return target if re.match(r"[a-z][a-z0-9+.-]*:|/", target) else lead(target)

    return "".join(part if code else _LINK.sub(one, part) for code, part in _parts(markdown))


def _parts(markdown: str) -> Iterator[tuple[bool, str]]:
    """A text in pieces, and whether each is code, in which nothing is a link.

    Code between backticks is passed over only where no link's words have it: [`name`](target) is a link.
    """
    at = 0
    for match in _CODE.finditer(markdown):
        yield False, markdown[at : match.start()]
        yield True, match.group(0)
        at = match.end()
    yield False, markdown[at:]


def _resolved(target: str, page: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(place_of(page)), target))


def _shown(path: Path, place: str) -> str:
    if path.is_dir():
        return f"{_QUIET}# {place}/\n\n| | |\n|---|---|\n" + "".join(_rows(sorted(path.iterdir())))
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"a page links to {place}, which is no text: put what readers need into {DOCS}/") from error
    if place.endswith(".md"):
        return _QUIET + text
    fence = "`" * max(4, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{_QUIET}# {place}\n\n{fence}{_LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n{fence}\n"


def _rows(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if path.name.startswith((".", "__")):
            continue
        name = f"`{path.name}/`" if path.is_dir() else f"`{path.name}`"
        yield f"| {name} | {_about(path)} |\n"


def _about(path: Path) -> str:
    """The first line of what a module or package says about itself."""
    module = path / "__init__.py" if path.is_dir() else path
    if module.suffix != ".py" or not module.is_file():
        return ""
    said = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    return said.partition("\n")[0].replace("|", "\\|")
