"""What mkdocs calls while it builds the site: pages that are made, and links that lead to them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

_LONG_NAME = re.compile(r"(?<=<code>)[^<]{30,}(?=</code>)")
ROOT = Path(__file__).resolve().parents[2]
# `mkdocs` alone, not as a module of Python, looks in its own folder only.
sys.path.insert(0, str(ROOT))

from tools.docs_site import decisions, outside, reference  # noqa: E402

_EVERY_DECISION = "decisions/*"
_REFERENCE = "reference.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision into the navigation."""
    pages = [outside.DECISIONS, *(f"decisions/{path.name}" for path in decisions.files(Path(config.docs_dir)))]
    nav: list[dict[str, Any]] = config.nav or []
    config.nav = [{title: pages if what == _EVERY_DECISION else what for title, what in one.items()} for one in nav]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand in no file of docs/."""
    docs = Path(config.docs_dir)
    made = {
        outside.START: (ROOT / "README.md").read_text("utf-8"),
        outside.DECISIONS: decisions.index(docs),
        _REFERENCE: reference.page(reference.openapi()),
    }
    written = {file.src_uri: file.content_string for file in files.documentation_pages()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    for name, text in outside.shelf({**written, **made}, ROOT).items():
        files.append(File.generated(config, name, content=text, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Have links lead to pages of the site."""
    return outside.rewritten(markdown, page.file.src_uri, ROOT)


def on_page_content(html: str, **_: Any) -> str:
    """Let long names break where they have parts; elsewhere the style sheet keeps names whole."""
    return _LONG_NAME.sub(lambda name: re.sub(r"([,/])", r"\1<wbr>", name[0]).replace("{", "<wbr>{"), html)
