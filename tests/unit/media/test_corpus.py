"""Every file of `tests/hostile`: heard or refused with a sentence, in time and within limits, and nothing else touched.

They go through normalise one after another in two processes that stand for workers, whose programs' memory can so be
told from that of other tests.
"""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.documents import SAMPLE_RATE
from pipelines.media import find_ffmpeg
from tests.hostile import DONE, Case, Workshop, corpus
from tests.hostile.alone import LIMITS
from tests.hostile.watching import Watched

CASES = corpus()
WORKERS = 2
MEMORY_BYTES = 1 << 30
"""Of any ffmpeg, at its peak; half of what its limit allows."""
GROWTH_BYTES = 16 << 20
"""Of a worker, over two hundred files."""
ROOT = Path(__file__).parents[3]

Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory):
    with Watched(tmp_path_factory.mktemp("canary")) as watched:
        yield watched


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, watched: Watched) -> Found:
    """What became of each case."""

    def work(name: str, cases: list[Case]) -> Found:
        workshop = Workshop(tmp_path_factory.mktemp(f"shop{name}"), watched.file, watched.host)
        job = tmp_path_factory.mktemp(f"job{name}") / "source"
        return dict(_worker(job, workshop, cases))

    cases = list(CASES.values())
    with ThreadPoolExecutor(WORKERS) as pool:
        parts = list(pool.map(work, map(str, range(WORKERS)), (cases[n::WORKERS] for n in range(WORKERS))))
    return {name: answer for part in parts for name, answer in part.items()}


def _worker(source: Path, workshop: Workshop, cases: list[Case]):
    command = [sys.executable, "-m", "tests.hostile.alone"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        try:
            for case in cases:
                source.write_bytes(case.make(workshop))
                print(source, file=process.stdin, flush=True)
                answer = process.stdout.readline()
                assert answer, f"{case.name} took the worker down"
                yield case.name, json.loads(answer)
        finally:
            process.stdin.close()
    assert process.returncode == 0


def test_there_are_many():
    assert len(CASES) >= 300


@pytest.mark.parametrize("name", CASES)
def test_it_is_heard_or_refused_with_a_sentence(found: Found, name: str):
    case, answer = CASES[name], found[name]
    assert answer["outcome"] in case.outcomes, answer
    if answer["outcome"] == DONE:
        low, high = case.seconds
        assert low <= answer["duration"] <= high
        assert re.fullmatch(r"[a-z0-9_]{1,32}", answer["format"])
    else:
        assert re.fullmatch(r"[A-Z][^\n/]{20,180}\.", answer["detail"])
        assert not answer["target"]
    assert answer["children"] == 0
    assert answer["seconds"] < LIMITS.ffmpeg_seconds
    assert answer["written"] <= 44 + (LIMITS.max_audio_seconds + 1) * SAMPLE_RATE * 2


def test_nobody_looks_elsewhere(found: Found, watched: Watched):
    assert found
    assert watched.touched() == []


def test_nothing_of_the_server_is_told(found: Found, watched: Watched):
    for name, answer in found.items():
        told = json.dumps([answer[key] for key in ("detail", "format", "codec", "warnings")])
        assert "canary" not in told, name
        assert watched.host not in told, name


def test_memory_is_bounded(found: Found):
    assert max(answer["peak"] for answer in found.values()) < MEMORY_BYTES
    for n in range(WORKERS):
        own = [found[name]["own"] for name in list(CASES)[n::WORKERS]]
        assert own[-1] - own[WORKERS] < GROWTH_BYTES


ALLOWED = ("-protocol_whitelist", "file,http,tcp,crypto,data")
LOOK = {
    "names_elsewhere_concat_of_a_file": (*ALLOWED, "-safe", "0", "-f", "concat"),
    "names_elsewhere_concat_of_a_host": (*ALLOWED, "-safe", "0", "-f", "concat"),
    "names_elsewhere_dash_of_a_host": ALLOWED,
    "mov_whose_sound_is_in_another_file": ("-enable_drefs", "1", "-use_absolute_path", "1"),
}


@pytest.mark.parametrize("name", LOOK)
def test_an_ffmpeg_that_may_do_anything_looks_elsewhere(tmp_path: Path, name: str):
    """So what the other tests do not see would be seen."""
    with Watched(tmp_path) as watched:
        source = tmp_path / "source"
        source.write_bytes(CASES[name].make(Workshop(tmp_path, watched.file, watched.host)))
        watched.touched()
        command = [find_ffmpeg(), "-v", "quiet", "-nostdin", *LOOK[name], "-i", source, "-f", "null", "-"]
        seen: list[str] = []
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
            while not seen and process.poll() is None:
                seen += watched.touched()
            process.kill()
        assert seen or watched.touched()
