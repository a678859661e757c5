"""What pages say of the program is what the program does."""

import re
from pathlib import Path

import pytest

from cli.main import main
from config.settings import Settings
from pipelines import formats
from pipelines.documents import Segment, Summary
from pipelines.formats.style import Style
from tests.stack import ROOT
from tools.docs_site import decisions, outside, write

DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", write.MADE)
def test_what_is_made_of_the_program_is_up_to_date(name: str) -> None:
    text = (DOCS / name).read_text("utf-8")
    assert text == write.with_made(text, write.MADE[name]()), "say `make docs`"


def test_every_setting_is_there_with_its_default() -> None:
    text = (DOCS / "configuration.md").read_text("utf-8")
    assert re.findall(r'<span id="(\w+)"></span>', text) == list(Settings.model_fields)
    assert "`MAX_UPLOAD_MB` | `2048` |" in text and "at least 1" in text
    assert "(secret, at least 8 long; or `API_KEY_FILE`)" in text


def test_every_command_is_there() -> None:
    text = (DOCS / "cli.md").read_text("utf-8")
    for name in main.commands:
        assert f"\n## longhand {name}\n" in text
    assert "<code>--task [transcribe&#124;translate]</code>" in text
    assert "### longhand keys create" in text and "`-o, --output DIRECTORY`" in text


def test_a_page_without_marks_is_no_place_for_what_is_made() -> None:
    with pytest.raises(ValueError, match="marks"):
        write.with_made("# Settings\n", "made")


@pytest.mark.parametrize(
    ("page", "text", "there"),
    [
        ("deploy.md", "[a](../README.md#in-containers)", "[a](start.md#in-containers)"),
        ("deploy.md", "[a](../.env.example)", "[a](source/.env.example.md)"),
        ("deploy.md", "[a](../deploy)", "[a](source/deploy/index.md)"),
        ("deploy.md", "[a](proxy.md#nginx), ![b](trust.svg)", "[a](proxy.md#nginx), ![b](trust.svg)"),
        ("deploy.md", "[`a`](../tests/stack.py)", "[`a`](source/tests/stack.py.md)"),
        ("decisions/0001-x.md", "[a](../../README.md) [b](../operate.md)", "[a](../start.md) [b](../operate.md)"),
        ("index.md", "[a](decisions)", "[a](decisions/index.md)"),
        ("start.md", "[a](docs/api.md#follow-a-job) ![b](docs/x.png)", "[a](api.md#follow-a-job) ![b](x.png)"),
        ("start.md", "[a](tasks) [b](docs/decisions)", "[a](source/tasks/index.md) [b](decisions/index.md)"),
        ("source/models/demo/README.md", "[a](../../docs/api.md)", "[a](../../../api.md)"),
    ],
)  # fmt: skip
def test_links_out_of_the_folder_lead_to_pages(page: str, text: str, there: str) -> None:
    assert outside.rewritten(text, page, ROOT) == there


@pytest.mark.parametrize(
    "text",
    ["[a](https://x.org/y.md) [b](#c) [d](../gone.md)", "```\n[a](../README.md)\n```\n", "say `[a](../README.md)`"],
)
def test_what_leads_elsewhere_or_nowhere_or_is_no_link_stays_as_it_is(text: str) -> None:
    assert outside.rewritten(text, "deploy.md", ROOT) == text


def test_what_is_linked_comes_along_and_what_that_links_to(tmp_path: Path) -> None:
    (tmp_path / "room" / "shelf").mkdir(parents=True)
    text = "# Room\n[it](shelf/it.py), [out](../../etc/passwd), [start](../README.md), [shelf](shelf)\n"
    (tmp_path / "room" / "README.md").write_text(text)
    (tmp_path / "room" / "shelf" / "it.py").write_text('"""Do | it.\n\nMore."""\nFENCE = "`````"\n')
    made = outside.shelf({"a.md": "[room](../room/README.md) and [all](../room)"}, tmp_path)
    assert set(made) == {"source/room/README.md", "source/room/shelf/it.py.md", "source/room/shelf/index.md"}
    assert "\n``````python\n" in made["source/room/shelf/it.py.md"]
    assert "| `it.py` | Do \\| it. |" in made["source/room/shelf/index.md"]
    assert all("search: {exclude: true}" in text for text in made.values())


def test_a_file_that_is_no_text_is_no_page(tmp_path: Path) -> None:
    (tmp_path / "talk.flac").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"talk\.flac, which is no text"):
        outside.shelf({"a.md": "[talk](../talk.flac)"}, tmp_path)


def test_a_decision_begins_with_its_number(tmp_path: Path) -> None:
    folder = tmp_path / "decisions"
    folder.mkdir()
    (folder / "0001-a.md").write_text("# 1. A\n")
    assert decisions.index(tmp_path).endswith("\n- [1. A](0001-a.md)\n")
    (folder / "0002-b.md").write_text("# B\n")
    with pytest.raises(ValueError, match=r"0002-b\.md must begin"):
        decisions.index(tmp_path)


def test_the_format_of_the_page_is_found_and_does_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "extending.md").read_text("utf-8")
    found = re.search(r'```python title="lrc\.py"\n(.*?)```', page, re.DOTALL)
    assert found is not None
    (tmp_path / "lrc.py").write_text(found[1], "utf-8")
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    monkeypatch.delitem(__import__("sys").modules, "pipelines.formats.lrc", raising=False)
    lrc = formats._discover()["lrc"]
    assert (lrc.extension, lrc.media_type, lrc.subtitle) == ("lrc", "text/plain", False)
    figures = {"language_probability": 1.0, "duration": 700.0, "speech_seconds": 9.0, "transcribed_seconds": 9.0}
    summary = Summary(text="", language="en", model="demo", **figures)
    segments = [
        Segment(id=n, start=start, end=start + 1, text=text, avg_logprob=0, no_speech_prob=0)
        for n, (start, text) in enumerate([(0.0, "One."), (59.999, "Two\x00."), (605.5, "Three.")])
    ]
    assert list(lrc.render(summary, segments, Style())) == [
        "[00:00.00]One.\n",
        "[01:00.00]Two.\n",
        "[10:05.50]Three.\n",
    ]
