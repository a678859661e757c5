"""The documentation as a site: it builds without a warning, all of it can be found, and it asks nobody for anything."""

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, executable
from tests.stack import ROOT
from tests.unit.docs.site import Site

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return Site(folder)


def test_every_page_is_in_the_navigation_of_every_page(site: Site) -> None:
    written = {path.relative_to(DOCS).with_suffix(".html").as_posix() for path in DOCS.rglob("*.md")}
    made = {"start.html", "reference.html", "decisions/index.html"}
    for name, page in site.pages.items():
        missing = (written | made) - page.navigation - {name}
        assert not missing, name


def test_every_link_leads_somewhere(site: Site) -> None:
    assert {name: dead for name, page in site.pages.items() if (dead := site.dead_links(page))} == {}


def test_nothing_is_loaded_from_elsewhere(site: Site) -> None:
    assert site.foreign() == []
    assert len(site.style_sheets) >= 3  # the theme's two and ours
    # What the theme draws such diagrams with it would get from another host.
    assert not [name for name in site.pages if 'class="mermaid"' in (site.folder / name).read_text("utf-8")]


def test_every_decision_is_listed(site: Site) -> None:
    files = [path.name for path in (DOCS / "decisions").glob("*.md")]
    listed = site.pages["decisions/index.html"].links
    assert len(files) > 10
    assert {name.replace(".md", ".html") for name in files} <= set(listed)


def test_what_the_readme_and_the_pages_show_of_the_program_comes_along(site: Site) -> None:
    start = site.pages["start.html"]
    assert {"two-commands", "in-containers"} <= start.ids
    assert "source/pipelines/stages/index.html" in start.links and "page-transcript.png" in start.loads
    shown = (site.folder / "source/tests/unit/webapp/test_access.py.html").read_text("utf-8")
    assert "unit/webapp/test_access.py" in shown
    assert "source/" not in (site.folder / "search" / "search_index.json").read_text("utf-8")


def test_lists_and_tables_are_such(site: Site) -> None:
    for name, page in site.pages.items():
        for text in page.paragraphs:
            assert not re.search(r"^\s*([-*] |\d+\. |\|[ -]|#+ |```)", text, re.MULTILINE), f"{name}: {text}"


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    """Where a plain server shows the site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site.folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(executable() is None, reason="needs a browser: install chromium")
def test_a_browser_finds_words_and_asks_no_other_host(address: str, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        page = browser.page()
        page.open(f"{address}index.html")
        page.wait("document.querySelector('.md-search__input')")
        page.type(".md-search__input", "visibility_timeout_seconds")
        page.wait(
            "[...document.querySelectorAll('.md-search-result__link')].some((a) => a.href.includes('configuration'))"
        )
        page.size(390, 844)
        page.open(f"{address}configuration.html")
        page.wait("document.querySelector('#visibility_timeout_seconds')")
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        assert page.complaints == [] and page.refused == []
        assert [one for one in page.addresses if not one.startswith((address, "data:", "blob:", "about:"))] == []
