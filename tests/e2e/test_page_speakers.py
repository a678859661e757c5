"""Speakers on the page: asked for, shown, named in place."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, executable
from tests.e2e.test_page import ENTER, FAINT, SAMPLE, UNNAMED, give_key, job_on
from tests.stack import KEY, ROOT, Stack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(executable() is None, reason="needs a browser: install chromium"),
]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Stack]:
    """An installation whose diariser hears two people take turns, whatever it is given."""
    orders = tmp_path / "orders"
    orders.write_text(json.dumps([[n * 5, n * 5 + 5, "xy"[n % 2]] for n in range(8)]))
    env = {"PLUGINS": str(ROOT / "tests" / "plugins"), "DIARISATION_ENGINE": "told", "LONGHAND_TEST_TOLD": str(orders)}
    (tmp_path / "told").mkdir()
    with Stack(tmp_path / "told", diarise=True, **env) as stack:
        yield stack


def test_speakers_are_asked_for_shown_and_named(told: Stack, tmp_path: Path) -> None:
    with Browser(tmp_path / "browser") as browser:
        page = browser.page()
        page.open(f"http://127.0.0.1:{told.port}/")
        give_key(page, KEY)
        page.wait("document.querySelector('#option-diarise')")

        # What would contradict is out of reach.
        page.run("document.querySelector('details').open = true")
        fields = "[...document.querySelectorAll('.options :is(input, select):disabled')]"
        disabled = f"{fields}.map((one) => one.id.slice(7)).join()"
        assert page.run(disabled) == "num_speakers,min_speakers,max_speakers"
        page.click("#option-diarise")
        assert page.run(disabled) == "channels"
        page.type("#option-num_speakers", "2")
        assert page.run(disabled) == "min_speakers,max_speakers,channels"

        page.choose("#files", SAMPLE)
        page.click("form button.main")
        job_id = job_on(page)
        page.wait("document.querySelector('.steps')?.textContent.includes('Telling speakers apart')")
        page.wait("document.querySelector('.speakers') && document.querySelector('.transcript .word')", 60)
        options = told.client.get(f"/v1/jobs/{job_id}").json()["options"]
        assert (options["diarise"], options["num_speakers"]) == (True, 2)
        colours = "new Set([...document.querySelectorAll('.transcript li')].map((one) => one.className)).size"
        assert page.run(colours) == 2

        # A name that is given where somebody speaks stands wherever they do, and is asked for once.
        page.click(".transcript .speaker")
        page.type("input.rename", "Ada")
        page.press(*ENTER)
        page.wait("document.querySelector('.speakers .speaker').textContent === 'Ada'")
        names = "[...document.querySelectorAll('.transcript .speaker')].map((one) => one.textContent)"
        assert set(page.run(names)[::2]) == {"Ada"} and set(page.run(names)[1::2]) == {"SPEAKER_01"}
        assert page.run("document.querySelectorAll('input.rename').length") == 0
        assert [one["name"] for one in told.transcript(job_id)["speakers"]] == ["Ada", "SPEAKER_01"]
        for dark in (False, True):
            page.dark(dark)
            assert page.run(FAINT) == [] and page.run(UNNAMED) == []
        assert page.complaints == []
