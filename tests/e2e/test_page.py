"""The page as people use it: a real browser against real processes."""

import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import transcripts
from pipelines.documents import Transcript
from tests.browser import Browser, Page, executable
from tests.stack import KEY, ROOT, Stack, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
HOSTILE = "<img src=x onerror=document.title='owned'>"
SCRIPT = "<script>document.title='owned'</script>"
ENTER = ("Enter", 13)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(executable() is None, reason="needs a browser: install chromium"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """The page, opened with the key; nothing may go wrong on it, and it may ask nobody else."""
    page = browser.page()
    page.open(f"http://127.0.0.1:{stack.port}/")
    give_key(page, KEY)
    # What was asked for without the key may be answered late.
    page.wait("document.querySelector('#option-language') && !document.querySelector('dialog')")
    page.refused.clear()
    yield page
    assert page.complaints == []
    assert page.refused == []
    assert page.run("document.title") != "owned"
    allowed = (f"http://127.0.0.1:{stack.port}/", "about:blank", "blob:", "data:")
    assert [address for address in page.addresses if not address.startswith(allowed)] == []
    assert not any(KEY in address for address in page.addresses)


def give_key(page: Page, key: str) -> None:
    page.type("#api-key", key)
    page.press(*ENTER)


def job_on(page: Page) -> str:
    """Id of the job whose view is open."""
    found = page.wait("/^#\\/jobs\\/([0-9a-f]{32})$/.exec(location.hash)?.[1]")
    return str(found)


def count(page: Page, selector: str) -> int:
    return int(page.run(f"document.querySelectorAll({json.dumps(selector)}).length"))


def open_job(page: Page, job_id: str) -> None:
    page.run(f"location.hash = '#/jobs/{job_id}'")
    page.wait(f"location.hash === '#/jobs/{job_id}' && document.querySelector('.transcript li')")


@pytest.fixture(scope="module")
def job(stack: Stack) -> dict[str, Any]:
    done = stack.run(SAMPLE, name="interview.flac")
    assert done["status"] == "done", done
    return done


def rewrite(stack: Stack, job_id: str, **change: Any) -> None:
    """Change what a job's transcript says, behind everybody's back."""
    (path,) = (stack.folder / "data" / "jobs").rglob(f"{job_id}/transcript.json")
    found = Transcript.model_validate({**json.loads(path.read_text()), **change})
    path.write_text("".join(transcripts.lines(found, found.segments)))


def test_from_a_file_to_its_subtitles(page: Page, stack: Stack, tmp_path: Path) -> None:
    # A file of that name is sent, watched, listened to, downloaded and deleted.
    recording = tmp_path / f"{HOSTILE}.flac"
    recording.write_bytes(SAMPLE.read_bytes())
    page.wait("document.querySelector('#option-language')")
    assert page.run("[...document.querySelectorAll('#option-language option')].length") > 90
    # Speakers cannot be told apart in this installation, and channels can.
    assert count(page, "#option-diarise, #option-num_speakers") == 0 and count(page, "#option-channels") == 1
    page.choose("#files", recording)
    page.wait("document.querySelector('.chosen .name').textContent.includes('<img')")
    page.click("form button.main")
    job_id = job_on(page)
    page.wait("document.querySelectorAll('.steps li').length > 3")
    page.wait("document.querySelector('audio')", 60)
    page.wait("document.querySelectorAll('.transcript .word').length > 50")
    assert page.run("document.querySelector('h1').textContent") == recording.name
    assert "demo model" in page.run("document.querySelector('.warnings').textContent")

    # The player may seek, which takes ranges; the word that is said is marked.
    page.wait("document.querySelector('audio')?.readyState > 0")
    page.click("li[data-row='5'] .word[data-word='1']")
    start = stack.transcript(job_id)["segments"][5]["words"][1]["start"]
    assert page.wait("document.querySelector('audio').currentTime") >= start - 0.01
    page.wait("document.querySelector('li[data-row=\"5\"] .word.now')")
    page.run("document.querySelector('audio').pause()")

    page.type("#search", "questions about")
    assert page.wait("document.querySelector('.search [role=status]').textContent") == "1 of 1"

    folder = tmp_path / "downloads"
    folder.mkdir()
    page.downloads_to(folder)
    page.click("[data-format=srt]")
    (saved,) = until(lambda: list(folder.glob("*.srt")), 30, "the subtitles to be saved")
    assert saved.read_text() == stack.client.get(f"/v1/jobs/{job_id}/transcript.srt").text

    page.click(".job-page .buttons button")
    page.click("dialog button.danger")
    page.wait("location.hash === '#/'")
    assert stack.client.get(f"/v1/jobs/{job_id}").status_code == 404
    page.wait("!document.querySelector('.jobs').textContent.includes('<img')")


def test_the_key_is_asked_for_until_it_is_right_and_can_be_forgotten(browser: Browser, stack: Stack) -> None:
    page = browser.page()
    page.open(f"http://127.0.0.1:{stack.port}/")
    give_key(page, "a wrong key")
    page.wait("document.querySelector('dialog .error').textContent.includes('no spaces')")
    give_key(page, "a-wrong-key")
    page.wait("document.querySelector('#key-reason')?.textContent.includes('not known')")
    give_key(page, KEY)
    page.wait("document.querySelector('#option-language')")
    page.wait("!document.querySelector('dialog')")
    assert page.run("localStorage.length === 0 && !document.cookie && sessionStorage.length === 1")
    page.click("#forget")
    page.wait("document.querySelector('#api-key')")
    assert page.run("sessionStorage.length") == 0
    page.run("document.querySelector('dialog button').click()")
    page.wait("document.querySelector('#notice').textContent.includes('key')")
    assert {status for status, _ in page.refused} == {401, 403} and page.complaints == []


def test_hostile_text_is_text_and_speakers_can_be_named(page: Page, stack: Stack) -> None:
    job_id = stack.run(SAMPLE, name=f"{HOSTILE}.flac")["id"]
    found = stack.transcript(job_id)
    for n, segment in enumerate(found["segments"]):
        segment["speaker"] = f"SPEAKER_0{n % 2}"
    first = found["segments"][0]
    first["words"][0] = {**first["words"][0], "word": SCRIPT, "probability": 0.1}
    first["text"] = "".join(word["word"] for word in first["words"])
    found["segments"][1] |= {"text": HOSTILE, "words": []}
    speakers = [{"id": f"SPEAKER_0{n}", "name": f"SPEAKER_0{n}", "seconds": 9.5} for n in range(2)]
    rewrite(stack, job_id, segments=found["segments"], speakers=speakers)
    open_job(page, job_id)
    page.wait("document.querySelector('.word.unsure')")
    text = page.run("document.querySelector('.transcript').textContent")
    assert SCRIPT in text and HOSTILE in text
    assert count(page, ".transcript img, .transcript script") == 0

    page.click(".speakers .speaker")
    page.type("input.rename", f"Ada {HOSTILE}")
    page.press(*ENTER)
    page.wait("document.querySelector('.transcript .speaker').textContent.startsWith('Ada')")
    assert stack.transcript(job_id)["speakers"][0]["name"] == f"Ada {HOSTILE}"
    page.run("history.back()")
    page.wait("document.querySelector('.jobs .name')")
    assert HOSTILE in page.run("document.querySelector('.jobs').textContent")


def test_a_failed_job_says_why_and_can_be_tried_again(page: Page, stack: Stack) -> None:
    job_id = stack.run(b"no recording at all", name="notes.mp3")["id"]
    page.run(f"location.hash = '#/jobs/{job_id}'")
    detail = stack.client.get(f"/v1/jobs/{job_id}").json()["error"]["detail"]
    page.wait(f"document.querySelector('.error.card:not([hidden])')?.textContent.includes({json.dumps(detail)})")
    page.click("[aria-label='Try notes.mp3 again']")
    asked = f"/v1/jobs/{job_id}/retry"
    until(lambda: page.run("1") and any(one.endswith(asked) for one in page.addresses), 60, "another attempt")
    again = stack.wait(job_id, 30)
    assert (again["status"], again["error"]["detail"]) == ("failed", detail)
    page.wait(f"document.querySelector('.error.card:not([hidden])')?.textContent.includes({json.dumps(detail)})", 30)


def test_an_upload_that_breaks_off_goes_on(page: Page, stack: Stack, tmp_path: Path) -> None:
    recording = tmp_path / "long silence.wav"
    with wave.open(str(recording), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(bytes(40_000_000))
    page.wait("document.querySelector('#option-language')")
    page.choose("#files", recording)
    page.throttle(12_000_000)
    page.click("form button.main")
    page.wait("document.querySelector('.sending progress')?.value > 0.5")
    page.offline()
    page.wait("document.querySelector('.sending').textContent.includes('Not connected')")
    page.throttle(-1)
    job_id = job_on(page)
    assert stack.client.get(f"/v1/jobs/{job_id}").json()["source"]["bytes"] == recording.stat().st_size
    begun = [one for one in page.addresses if one.endswith("/v1/uploads")]
    assert len(begun) <= 2  # asked what there is, and begun once
    page.run("location.hash = '#/'")
    page.wait("document.querySelector('.jobs .name')")
    stack.client.delete(f"/v1/jobs/{job_id}")


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_can_be_read(page: Page, job: dict[str, Any], dark: bool) -> None:
    page.size(375, 800)
    page.dark(dark)
    page.wait("document.querySelector('#option-language')")
    page.run("document.querySelector('details').open = true")
    assert page.run("document.documentElement.scrollWidth") <= 375
    assert page.run(UNNAMED) == []
    open_job(page, job["id"])
    page.wait("document.querySelector('audio')")
    assert page.run("document.documentElement.scrollWidth") <= 375
    assert page.run(UNNAMED) == []
    assert page.run(FAINT) == []


def test_ten_hours_of_words_stay_usable(page: Page, stack: Stack, job: dict[str, Any]) -> None:
    found = stack.transcript(job["id"])
    pattern, segments = found["segments"][0], []
    for n in range(10_000):
        begin, words = n * 3.6, []
        for w in range(10):
            times = {"start": begin + w * 0.3, "end": begin + w * 0.3 + 0.2}
            words.append({**pattern["words"][0], **times, "word": f" word{n * 10 + w}"})
        text = "".join(word["word"] for word in words).strip()
        segments.append({**pattern, "id": n, "start": begin, "end": begin + 3, "text": text, "words": words})
    rewrite(stack, job["id"], segments=segments, duration=36_000.0)
    open_job(page, job["id"])
    page.wait("document.querySelectorAll('.transcript li').length === 10000", 20)
    assert 0 < page.wait("document.querySelectorAll('.word').length") < 2000
    page.type("#search", "word99990")
    assert page.wait("document.querySelector('.search [role=status]').textContent") == "1 of 1"
    last = "document.querySelector('li[data-row=\"9999\"]')"
    page.wait(f"(r => r.top > 0 && r.bottom < innerHeight)({last}.getBoundingClientRect())")
    page.wait(f"{last}.querySelector('.word')")
    page.wait("document.querySelectorAll('.word').length < 2000")


UNNAMED = """
[...document.querySelectorAll('button, input, select, textarea, a, progress, audio')]
  .filter((n) => n.checkVisibility() && !(n.labels?.length || n.getAttribute('aria-label') || n.textContent.trim()))
  .map((n) => n.outerHTML)
"""
"""Controls that say nothing to whoever cannot see them."""
FAINT = """
(() => {
  const light = (c) => {
    const part = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = c.match(/[\\d.]+/g).map((v) => part(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (n) => {
    for (; n; n = n.parentElement) {
      const c = getComputedStyle(n).backgroundColor;
      if (c !== 'rgba(0, 0, 0, 0)') return c;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('main *, header *')]
    .filter((n) => n.checkVisibility() && !n.disabled)
    .filter((n) => [...n.childNodes].some((c) => c.nodeType === 3 && c.data.trim()))
    .map((n) => {
      const [a, b] = [light(getComputedStyle(n).color), light(ground(n))].sort((x, y) => y - x);
      return [n.textContent.slice(0, 30), (a + 0.05) / (b + 0.05)];
    })
    .filter(([, ratio]) => ratio < 4.5);
})()
"""
"""Text with less contrast than 4.5 : 1."""
