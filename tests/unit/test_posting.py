"""One POST to a server that may be slow, lying or hostile. Real servers on real sockets."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tasks.posting import Outcome, post
from tests.receiver import Receiver, drip, endless, receiving, status


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def send(receiver: Receiver, *, seconds: float = 5.0, path: str = "/hook?a=1") -> Outcome:
    return post(receiver.url + path, b"{}", {"webhook-id": "1"}, allow_private=True, seconds=seconds)


def test_any_2xx_counts(receiver: Receiver) -> None:
    receiver.answers = [status(200, b"thanks"), status(204), endless(200)]
    assert [send(receiver) for _ in range(3)] == [Outcome(200), Outcome(204), Outcome(200)]
    assert {(one.path, one.body, one.headers["webhook-id"]) for one in receiver.got} == {("/hook?a=1", b"{}", "1")}


def test_a_refusal_s_words_are_kept_short_and_printable(receiver: Receiver) -> None:
    receiver.answers = [status(500, b"no \x1b[31mroom\r\n here\xff"), endless(502), status(404)]
    first, second, third = (send(receiver) for _ in range(3))
    assert (first.status, first.error, first.final) == (500, "The server answered 500: no [31mroom here", False)
    assert second.error is not None and len(second.error) < 250 and second.error.isprintable()
    assert third.error == "The server answered 404."


def test_gone_is_final_and_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [status(410), status(302, Location=receiver.url + "/elsewhere"), status(308)]
    gone, moved, other = (send(receiver) for _ in range(3))
    assert gone.final and not moved.final
    assert moved.error == "The server answered with a redirect (302), which is not followed."
    assert other.status == 308
    assert [one.path for one in receiver.got] == ["/hook?a=1"] * 3


def test_retry_after_is_a_number_or_a_date(receiver: Receiver) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)
    values = ["120", date, "soon", "-5", "9" * 400, ""]
    receiver.answers = [status(503, Retry_After=value) for value in values]
    found = [send(receiver).retry_after for _ in values]
    assert found[0] == 120
    assert found[1] == pytest.approx(120, abs=5)
    assert found[2:] == [None] * 4


def test_headers_that_trickle_do_not_hold_us(receiver: Receiver) -> None:
    receiver.answers = [drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 99, 0.05)]
    began = time.monotonic()
    assert send(receiver, seconds=0.8) == Outcome(error="The server did not answer within 0.8 s.")
    assert 0.7 < time.monotonic() - began < 15


def test_silence_ends_with_the_time(receiver: Receiver) -> None:
    over = threading.Event()
    receiver.answers = [lambda _: over.wait(10) and None]
    try:
        assert send(receiver, seconds=0.6) == Outcome(error="The server did not answer within 0.6 s.")
    finally:
        over.set()


def test_a_body_that_trickles_does_not_hold_us(receiver: Receiver) -> None:
    receiver.answers = [drip(b"HTTP/1.1 500 No\r\nContent-Length: 5000\r\n\r\n" + b"abc" * 1000, 0.01)]
    outcome = send(receiver, seconds=3.0)
    assert outcome.status == 500
    assert outcome.error is not None and outcome.error.startswith("The server answered 500: abcabc")


def test_nobody_there() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        assert post(url, b"", {}, allow_private=True).error == "The server could not be connected to."
    nowhere = post("http://nowhere.invalid/", b"", {}, allow_private=True)
    assert nowhere.error is not None and "nowhere.invalid" in nowhere.error and not nowhere.final


def test_no_http_and_no_tls(receiver: Receiver) -> None:
    receiver.answers = [lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n") and None]
    assert send(receiver).error == "The server broke the connection off, or answered in a way that is not HTTP."
    encrypted = post(receiver.url.replace("http:", "https:"), b"", {}, allow_private=True, seconds=3)
    assert encrypted.error == "The server and we found no way to encrypt the connection."


def test_an_address_inside_is_not_asked(receiver: Receiver) -> None:
    outcome = post(receiver.url, b"", {}, allow_private=False)
    assert outcome.final and outcome.error is not None and "not public" in outcome.error
    assert post("http://localhost:1/", b"", {}, allow_private=False).final
    assert receiver.got == []
