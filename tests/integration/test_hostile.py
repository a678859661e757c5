"""The corpus of `tests/hostile`, and file names by which somebody means harm, sent to a running installation.

Each file ends as a job that is done or has failed with a sentence; the workers that took them are the same afterwards,
and a clean recording is transcribed. `tests/unit/media/test_corpus.py` says what is right for each file.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hostile import DONE, Case, Workshop, corpus
from tests.hostile.case import sine
from tests.hostile.lying import chunk, riff
from tests.hostile.lying import form as wav_form
from tests.hostile.watching import Watched
from tests.stack import ROOT, Stack, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
SENTENCE = re.compile(r"[A-Z][^\n/]{20,180}\.")
REFUSED_NTH, HEARD_NTH = 2, 20
"""Of the cases that can only be refused, and of those that may be heard, which then keep every stage busy. The unit
test takes all of them through the same code."""
AT_ONCE = 40


def chosen() -> list[Case]:
    """What is sent: nothing of hours, of which the unit test allows ten minutes only."""
    short = [case for case in corpus().values() if not case.long and case.seconds[1] <= 3600]
    refused = [case for case in short if DONE not in case.outcomes]
    heard = [case for case in short if DONE in case.outcomes]
    return refused[::REFUSED_NTH] + heard[::HEARD_NTH]


@pytest.fixture(autouse=True, scope="module")
def workers_live(stack: Stack) -> Iterator[None]:
    """The same children serve before and after, no error of ours is in the log, and the next recording is done."""
    names = ["cpu", "gpu1", "gpu2", "web"]

    def children() -> dict[str, list[int]]:
        return {name: sorted(child.pid for child in stack.children(name)) for name in names}

    before, logged = children(), {name: len(stack.log(name)) for name in names}
    yield
    assert stack.run(SAMPLE)["status"] == "done"
    assert children() == before
    for name in names:
        assert "Traceback" not in stack.log(name)[logged[name] :], name


def send(stack: Stack, files: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """Jobs of one batch, once all are over."""
    answer = stack.client.post("/v1/jobs", files=[("file", file) for file in files], data={"language": "en"})
    assert answer.status_code == 202, answer.text
    batch = answer.json()["batch"]

    def over() -> list[dict[str, Any]] | None:
        jobs: list[dict[str, Any]] = stack.client.get(f"/v1/batches/{batch}").raise_for_status().json()["jobs"]
        return jobs if all(job["status"] in {"done", "failed"} for job in jobs) else None

    found: list[dict[str, Any]] = until(over, 120, "a batch to end", every=0.2)
    ids = [job["id"] for job in answer.json()["jobs"]]
    by_id = {job["id"]: job for job in found}
    return [by_id[job_id] for job_id in ids]


def test_every_file_is_done_or_failed_with_a_sentence(stack: Stack, tmp_path: Path) -> None:
    cases = chosen()
    assert len(cases) >= 60
    with Watched(tmp_path) as watched:
        workshop = Workshop(tmp_path, watched.file, watched.host)
        for start in range(0, len(cases), AT_ONCE):
            batch = cases[start : start + AT_ONCE]
            files = [(f"{case.name}.mp3", case.make(workshop)) for case in batch]
            watched.touched()
            for case, job in zip(batch, send(stack, files), strict=True):
                judge(case, job, stack)
        assert watched.touched() == []


def judge(case: Case, job: dict[str, Any], stack: Stack) -> None:
    if job["status"] == "done":
        assert DONE in case.outcomes, case.name
        assert case.seconds[0] <= job["source"]["duration"] <= case.seconds[1], case.name
        return
    error = job["error"]
    assert error["code"] in case.outcomes, (case.name, error)
    assert error["stage"] == "normalise", case.name
    assert SENTENCE.fullmatch(error["detail"]), (case.name, error)
    for secret in ("canary", str(stack.folder), "ffmpeg", "source"):
        assert secret not in error["detail"], case.name


NAMES = {
    "climbs": b"../../../../taken.wav",
    "climbs_on_windows": b"..\\..\\taken.wav",
    "is_absolute": b"/etc/cron.d/taken.wav",
    "is_a_drive": b"C:\\taken.wav",
    "is_dots": b"..",
    "is_a_dot": b".",
    "is_spaces": b"    ",
    "is_one_dash": b"-",
    "is_an_option": b"-i taken.wav",
    "is_a_pipe": b"|touch taken|",
    "is_a_command": b"$(touch taken);`touch taken`.wav",
    "is_a_pattern": b"taken%03d*?[a-z].wav",
    "is_a_protocol": b"file:/etc/passwd",
    "is_two_files": b"concat:a|b",
    "is_an_address": b"http://127.0.0.1/taken.wav",
    "is_encoded": b"%2e%2e%2ftaken%00.wav",
    "has_zero": b"a\0taken.wav",
    "has_control_characters": b"a\x1b[31m\x07\x08taken.wav",
    "has_escaped_line_ends": b"a%0D%0ASet-Cookie: taken=1.wav",
    "turns_right_to_left": "a\u202evaw.taken".encode(),
    "hides": "ta\u200bken\ufeff.wav".encode(),
    "has_a_line_separator": "a\u2028taken.wav".encode(),
    "is_4_kb": b"x" * 4096 + b".wav",
    "is_4_kb_of_marks": "e\u0301".encode() * 1300 + b".wav",
    "is_not_utf_8": b"\xff\xfe\x80taken.wav",
    "has_half_a_character": b"taken\xc3.wav",
    "is_emoji": "\U0001f4a9\U0001f468\u200d\U0001f469\u200d\U0001f467.wav".encode(),
    "is_html": b"<img src=x onerror=alert(1)>.wav",
    "is_a_formula": b"=cmd|' /C calc'!A0.wav",
    "is_sql": b"'; drop table jobs; --.wav",
    "is_a_device": b"NUL",
    "has_another_suffix": b"talk.m3u8",
}
BROKEN = {"has_a_line_end": b"a\r\nSet-Cookie: taken=1.wav", "has_a_quote": b'a"; name="model"; x="b.wav'}


def form(names: list[bytes], content: bytes) -> tuple[bytes, dict[str, str]]:
    """A form whose names are exactly these bytes, which no client would send."""
    head = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n'
    body = b"".join(head % (name.replace(b"\\", b"\\\\"), content) for name in names) + b"--limit--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=limit"}


def test_names_are_shown_and_nothing_else(stack: Stack) -> None:
    body, headers = form(list(NAMES.values()), SAMPLE.read_bytes()[:200])
    answer = stack.client.post("/v1/jobs", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    for name, job in zip(NAMES, answer.json()["jobs"], strict=True):
        shown = job["source"]["name"]
        assert 0 < len(shown) <= 255, name
        assert shown.replace("\u200d", "").isprintable(), name  # the joiner is part of an emoji
        assert not set(shown) & set("/\\\u202e\u2028\0"), name
        assert shown not in {".", ".."}, name
        ended = stack.wait(job["id"])
        assert ended["source"]["name"] == shown
    kept = [path.name for path in stack.folder.rglob("*")]
    assert not [name for name in kept if "taken" in name or len(name) > 200]


@pytest.mark.parametrize("name", BROKEN)
def test_names_that_break_their_form_are_refused_or_only_shown(stack: Stack, name: str) -> None:
    body, headers = form([BROKEN[name]], SAMPLE.read_bytes()[:200])
    answer = stack.client.post("/v1/jobs", content=body, headers=headers)
    assert "Set-Cookie" not in answer.headers
    if answer.status_code == 202:
        assert answer.json()["source"]["name"].isprintable()
        assert stack.wait(answer.json()["id"])["status"] == "failed"
    else:
        assert answer.status_code == 400
        assert SENTENCE.fullmatch(answer.json()["detail"])


def test_what_comes_back_under_such_a_name_is_harmless(stack: Stack) -> None:
    names = [NAMES[name] for name in ("climbs", "turns_right_to_left", "is_4_kb", "has_escaped_line_ends", "is_html")]
    body, headers = form(names, riff(wav_form(), chunk(b"data", sine(0.3))))
    answer = stack.client.post("/v1/jobs", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    for job in answer.json()["jobs"]:
        done = stack.wait(job["id"])
        assert done["status"] == "done"
        for link in (f"/v1/jobs/{job['id']}/transcript.srt?download=1", done["links"]["audio"]):
            harmless(stack.client.get(link).raise_for_status())


def harmless(answer: httpx.Response) -> None:
    """No header that was smuggled in, and no name that a browser would take for a path."""
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    disposition = answer.headers.get("Content-Disposition", "")
    assert len(disposition) < 2000
    assert ".." not in disposition
