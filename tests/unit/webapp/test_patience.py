"""Clients that neither send nor take: they keep nobody out, and are let go."""

import errno
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from config.sockets import PatientSocket, Stalled
from tests.stack import RedisServer
from tests.unit.webapp.conftest import AUTH
from tests.unit.webapp.test_gunicorn import FORM, HEAD, MB, TAIL, Server, start

THREADS = 4
HASTY = """
from config.gunicorn import *
from config.gunicorn import on_starting, post_fork, post_worker_init
from config.serving import Worker

class Hasty(Worker):
    head_seconds = 1.5
    patience = 1.0

worker_class = Hasty
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("patience")
    (folder / "hasty.py").write_text(HASTY)
    running = start(folder, redis_server.empty(), folder / "hasty.py", WEB_THREADS=THREADS)
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert "Traceback" not in (folder / "log").read_text()


def connect(server: Server, sent: bytes = b"", *, room: int | None = None) -> socket.socket:
    client = socket.socket()
    client.settimeout(20)
    if room is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    client.connect(("127.0.0.1", server.port))
    client.sendall(sent)
    return client


def ended(client: socket.socket) -> bool:
    """Read to the end of the connection."""
    try:
        while client.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    client.close()
    return True


def lives(server: Server) -> bool:
    return httpx.get(f"{server.url}/health/live", timeout=10).is_success


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: b", b"\r\n\r\n"])
def test_heads_that_do_not_end_take_no_thread_and_are_let_go(server: Server, sent: bytes) -> None:
    clients = [connect(server, sent) for _ in range(THREADS * 20)]
    assert lives(server)
    assert all(ended(client) for client in clients)


def test_heads_that_drip_are_let_go_as_well(server: Server) -> None:
    client = connect(server, b"GET / HTTP/1.1\r\n")
    began = time.monotonic()
    with pytest.raises(OSError):  # a broken pipe or a reset
        while time.monotonic() - began < 20:
            client.sendall(b"a")
            time.sleep(0.05)
    client.close()


def test_after_one_request_half_of_the_next_takes_no_thread(server: Server) -> None:
    whole = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    clients = [connect(server, whole + whole[: 1 + n % 20]) for n in range(THREADS * 5)]
    for client in clients:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert lives(server)
    assert all(ended(client) for client in clients)


def test_requests_in_pieces_and_one_after_the_other_are_answered(server: Server) -> None:
    client = connect(server)
    for piece in (b"\r\nGET /health/li", b"ve HTTP/1.1\r\nHost: x\r", b"\n\r", b"\n"):
        client.sendall(piece)
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
    one = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
    client.sendall((one + b"\r\n") * 2 + one + b"Connection: close\r\n\r\n")
    text = b""
    while data := client.recv(1 << 16):
        text += data
    assert text.count(b"HTTP/1.1 200") == 3
    client.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\nHost: x\n\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"A: %s\r\n" % (b"b" * 4000) * 20, b"431"),
    ],
)
def test_heads_that_cannot_be_read_are_refused(server: Server, sent: bytes, status: bytes) -> None:
    client = connect(server, sent)
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 " + status)
    client.close()


def test_clients_that_do_not_hang_up_hold_nobody_up(server: Server) -> None:
    closing = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    clients = [connect(server, closing) for _ in range(30)]
    began = time.monotonic()
    for client in clients:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert lives(server)
    assert time.monotonic() - began < 20, "gunicorn's own way takes two seconds for each"
    assert all(ended(client) for client in clients)


def test_clients_that_do_not_read_are_let_go(server: Server) -> None:
    content = HEAD + b"x" * (30 * MB) + TAIL
    job = httpx.post(f"{server.url}/v1/jobs", headers=FORM, content=content, timeout=60).json()
    path = httpx.URL(job["links"]["audio"]).path
    lines = [f"GET {path} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in AUTH.items())]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    clients = [connect(server, request, room=4096) for _ in range(THREADS)]
    assert lives(server)
    for client in clients:
        client.close()


@pytest.mark.parametrize("drips", [False, True])
@pytest.mark.parametrize(
    ("address", "head"),
    [("/v1/jobs", "Content-Type: multipart/form-data; boundary=B0"), ("/v1/keys", "Content-Type: application/json")],
)
def test_bodies_that_do_not_come_are_told_so(server: Server, address: str, head: str, drips: bool) -> None:
    lines = [
        f"POST {address} HTTP/1.1",
        "Host: x",
        head,
        "Content-Length: 5000",
        f"Authorization: {AUTH['Authorization']}",
    ]
    client = connect(server, ("\r\n".join(lines) + "\r\n\r\n--B0").encode())
    while drips and not select.select([client], [], [], 0.1)[0]:
        client.sendall(b"-")
    answer = client.recv(1 << 16)
    while b"}\n" not in answer:
        answer += client.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 408") and b'"timeout"' in answer
    client.close()


@pytest.fixture
def pair() -> Iterator[tuple[PatientSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with PatientSocket(ours.detach(), patience=0.4, least_rate=1000) as patient, theirs:
        yield patient, theirs


def test_what_comes_fast_enough_may_take_long(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, theirs = pair
    patient.begin_body()

    def send() -> None:
        for _ in range(12):
            time.sleep(0.1)
            theirs.sendall(b"x" * 200)
        theirs.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    received = 0
    while data := patient.recv(1 << 16):
        received += len(data)
    sender.join()
    assert received == 12 * 200


def test_somebodys_own_timeout_holds_and_does_not_begin_the_minute_anew(
    pair: tuple[PatientSocket, socket.socket],
) -> None:
    patient, _ = pair
    patient.begin_body()
    patient.settimeout(0.1)
    kinds = []
    while Stalled not in kinds and len(kinds) < 10:
        with pytest.raises(TimeoutError) as caught:
            patient.recv(1)
        kinds.append(caught.type)
    assert kinds[0] is TimeoutError and kinds[-1] is Stalled


def test_what_is_taken_slowly_is_sent_whole_and_what_is_not_taken_is_not(
    pair: tuple[PatientSocket, socket.socket],
) -> None:
    patient, theirs = pair
    content = bytes(range(256)) * 8192
    taken = bytearray()

    def take() -> None:
        while len(taken) < len(content):
            taken.extend(theirs.recv(1 << 15))
            time.sleep(0.01)

    reader = threading.Thread(target=take)
    reader.start()
    patient.sendall(content)
    reader.join()
    assert bytes(taken) == content
    with pytest.raises(ConnectionResetError) as caught:
        patient.sendall(content)
    assert caught.value.errno == errno.ECONNRESET
