"""Counts that many processes keep together. A real Redis; processes that are killed, answers that are lost."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from store import tallies
from store.tallies import Tallies
from tests.stack import RedisServer, until

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal, sys
from collections import Counter
from store.tallies import Tallies
mine = Tallies(sys.argv[1], "t")
mine.add(Counter({"a": 3, "b": 1}))
assert mine.hand_over()
mine.add(Counter({"a": 100}))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def url(redis_server: RedisServer) -> Iterator[str]:
    url = f"{redis_server.url}?db=8"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def mine(url: str) -> Iterator[Tallies]:
    found = Tallies(url, "t")
    yield found
    found.close()


def test_a_process_that_is_killed_takes_along_its_last_seconds_only(url: str, mine: Tallies) -> None:
    mine.add(Counter({"a": 1}))
    for turn in (1, 2):
        ended = subprocess.run([sys.executable, "-c", KILLED, url], cwd=ROOT, check=False)
        assert ended.returncode == -signal.SIGKILL
        assert mine.read() == {"a": 1 + 3 * turn, "b": turn}


def test_counts_are_handed_over_without_being_asked_for(
    url: str, mine: Tallies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "HAND_OVER_SECONDS", 0.01)
    other = Tallies(url, "t")
    for n in range(1, 4):
        other.add(Counter({"a": 1}))
        until(lambda n=n: mine.read() == {"a": n}, 30, "the counts")
        until(lambda: other._thread is None, 30, "nothing to be left")
    other.close()


def test_what_was_handed_over_and_not_answered_counts_once(
    url: str, mine: Tallies, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, lost = mine._script, [True, True, False]

    def answered(**asked: object) -> object:
        found = script(**asked)  # type: ignore[arg-type]
        if lost.pop(0):
            raise redis.TimeoutError
        return found

    monkeypatch.setattr(mine, "_script", answered)
    mine.add(Counter({"a": 2}))
    assert not mine.hand_over()
    mine.add(Counter({"a": 5}))  # goes with the next, under a name of its own
    assert not mine.hand_over() and not mine.hand_over()
    monkeypatch.setattr(mine, "_script", script)
    assert mine.hand_over()
    assert mine.read() == {"a": 7}


def test_without_redis_nothing_is_lost_and_nobody_waits() -> None:
    server = RedisServer()
    server.start()
    mine = Tallies(server.url, "t")
    mine.add(Counter({"a": 1}))
    assert mine.read() == {"a": 1}
    server.kill()
    mine.add(Counter({"a": 2}))
    assert not mine.hand_over()
    with pytest.raises(redis.RedisError):
        mine.read()
    server.start()
    # Redis came back empty: counting has begun anew, with what is left here.
    until(mine.hand_over, 60, "Redis to be asked again")
    assert mine.read() == {"a": 2}
    mine.close()
    server.close()
