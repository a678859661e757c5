"""Wake-up calls: none is lost, whatever Redis does, and one connection serves everybody."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from store.events import Events
from store.listening import Listening
from tests.stack import RedisServer, until


@pytest.fixture
def server() -> Iterator[RedisServer]:
    running = RedisServer().start()
    yield running
    running.close()


@pytest.fixture
def events(server: RedisServer) -> Iterator[Events]:
    made = Events(server.url)
    yield made
    made._client.close()


@pytest.fixture
def listening(server: RedisServer) -> Iterator[Listening]:
    made = Listening(server.url)
    yield made
    made.close()
    assert not [t for t in threading.enumerate() if t.name == "listening"]


def connections(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as client:
        return sum("pubsub" in c["cmd"] or c["cmd"] == "psubscribe" or c["psub"] != "0" for c in client.client_list())


def settled(listening: Listening) -> None:
    until(lambda: listening._hub.hearing, 30, "the subscription")


def took(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_what_happens_wakes_who_waits_for_that_job_only(events: Events, listening: Listening) -> None:
    with listening.to("a") as ear, listening.to("b") as other:
        settled(listening)
        while ear.wait(0.1) or other.wait(0.1):
            pass
        threading.Timer(0.1, lambda: events.changed("a")).start()
        assert took(lambda: ear.wait(60)) < 20
        assert not other.wait(0.2)
        events.report("b", "transcribe", 0, 0.5)
        assert other.wait(30)
        assert not ear.wait(0)


def test_a_call_between_looking_and_waiting_is_not_lost(events: Events, listening: Listening) -> None:
    with listening.to("a") as ear:
        settled(listening)
        for _ in range(50):
            while ear.wait(0):
                pass
            events.changed("a")  # nobody waits at this moment
            assert ear.wait(30)


def test_a_call_before_the_subscription_is_there_is_not_lost(events: Events, listening: Listening) -> None:
    with listening.to("a") as ear:
        events.changed("a")
        assert took(lambda: ear.wait(60)) < 20


def test_many_listeners_share_one_connection_and_sleep(server: RedisServer, listening: Listening) -> None:
    before = time.process_time()
    threading.Event().wait(1.5)
    others = time.process_time() - before  # what is left of other tests does at the same time
    before = time.process_time()
    with listening.to("job-0") as first:
        settled(listening)
        threads = []

        def listen(number: int) -> None:
            with listening.to(f"job-{number}") as ear:
                ear.wait(1.5)

        for number in range(100):
            threads.append(threading.Thread(target=listen, args=(number,)))
            threads[-1].start()
        assert connections(server) == 1
        for thread in threads:
            thread.join()
        while first.wait(0):
            pass
    assert time.process_time() - before - 2 * others < 1.0
    assert not listening._hub._ears, "nobody listens any more, and nothing is kept of them"


def test_whoever_listens_hears_again_once_redis_is_back(
    server: RedisServer, events: Events, listening: Listening
) -> None:
    with listening.to("a") as ear:
        settled(listening)
        while ear.wait(0):
            pass
        server.kill()
        assert took(lambda: ear.wait(60)) < 20, "without Redis it is the clock that wakes"
        until(lambda: not listening._hub.hearing, 30, "the loss to be seen")
        assert took(lambda: ear.wait(60)) < 20
        server.start()
        settled(listening)
        while ear.wait(0.05):
            pass
        events.changed("a")
        assert took(lambda: ear.wait(60)) < 20


def test_without_redis_listeners_wake_by_the_clock(tmp_path_factory: pytest.TempPathFactory) -> None:
    listening = Listening("unix:///nowhere/at/all")
    with listening.to("a") as ear:
        assert not ear.wait(0.2)
        assert ear.wait(10)
    listening.close()


def test_the_time_is_kept(listening: Listening) -> None:
    with listening.to("a") as ear:
        settled(listening)
        while ear.wait(0):
            pass
        assert 0.2 <= took(lambda: ear.wait(0.2)) < 10
        assert took(lambda: ear.wait(-1)) < 5


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")  # that it works is the point
def test_a_child_listens_for_itself(events: Events, listening: Listening) -> None:
    with listening.to("a"):
        settled(listening)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with listening.to("a") as ear:
                    settled(listening)
                    while ear.wait(0):
                        pass
                    os.write(write, b"ready")
                    os.write(write, b"heard" if ear.wait(6) else b"never")
            finally:
                os._exit(0)
        os.close(write)
        assert os.read(read, 5) == b"ready"
        events.changed("a")
        assert os.read(read, 5) == b"heard"
        os.close(read)
        os.waitpid(child, 0)


def test_after_a_while_without_listeners_the_connection_goes(
    server: RedisServer, events: Events, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.listening._LINGER", 0.0)
    with listening.to("a"):
        settled(listening)
    events.changed("a")  # the thread looks up
    until(lambda: connections(server) == 0, 30, "the connection to go")
    with listening.to("a") as ear:
        settled(listening)
        while ear.wait(0.05):
            pass
        events.changed("a")
        assert took(lambda: ear.wait(60)) < 20
