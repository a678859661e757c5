"""Resumable uploads under the real server: broken connections, killed processes, a client that others wrote."""

import hashlib
import io
import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusUploadFailed

from tests.stack import RedisServer, until
from tests.unit.webapp.conftest import AUTH
from tests.unit.webapp.test_gunicorn import Server, start

MB = 1 << 20
TUS = {**AUTH, "Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
BODY = random.Random(1).randbytes(6 * MB)
CUT = len(BODY) * 6 // 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("resuming")
    running = start(folder, redis_server.empty(), MAX_UPLOAD_MB=100)
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert "Traceback" not in (folder / "log").read_text()


def begin(server: Server, size: int = len(BODY)) -> str:
    answer = httpx.post(f"{server.url}/v1/uploads", headers={**TUS, "Upload-Length": str(size)})
    assert answer.status_code == 201
    return answer.headers["Location"]


def offset(url: str) -> int:
    return int(httpx.head(url, headers=TUS).raise_for_status().headers["Upload-Offset"])


def go_on(url: str, at: int) -> httpx.Response:
    return httpx.patch(url, headers={**TUS, **BYTES, "Upload-Offset": str(at)}, content=BODY[at:], timeout=60)


def resume(url: str) -> httpx.Response:
    """Go on as clients do: ask for the offset, and again when somebody else is still writing."""

    def tried() -> httpx.Response | None:
        answer = go_on(url, offset(url))
        return None if answer.status_code in {409, 423} else answer

    found: httpx.Response = until(tried, 60, "the upload to be free")
    return found


def broken(server: Server, url: str, *, chunked: bool = False, **headers: str) -> socket.socket:
    """A PATCH that says it brings everything, of which 60 % are sent."""
    client = socket.create_connection(("127.0.0.1", server.port))
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(BODY))}
    sent = {**TUS, **BYTES, "Host": "localhost", "Upload-Offset": "0", **framing, **headers}
    lines = [f"PATCH {httpx.URL(url).path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    data = BODY[:CUT]
    client.sendall(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
    return client


def source_of(server: Server, url: str) -> Path:
    return server.storage / url.rpartition("/")[2] / "source"


def finished(server: Server, url: str) -> bool:
    shown: dict[str, Any] = httpx.get(url, headers=AUTH).json()
    assert shown["finished"] and shown["offset"] == len(BODY)
    folder = source_of(server, url).parent
    return [p.name for p in folder.iterdir()] == ["source"] and (folder / "source").read_bytes() == BODY


@pytest.mark.parametrize("chunked", [False, True])
def test_what_arrived_before_the_connection_broke_is_kept(server: Server, chunked: bool) -> None:
    url = begin(server)
    broken(server, url, chunked=chunked).close()
    until(lambda: offset(url) == CUT, 30, "everything that was sent to be kept")
    answer = resume(url)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(len(BODY)))
    assert finished(server, url)


def test_what_breaks_off_after_its_last_byte_is_finished(server: Server) -> None:
    url = begin(server, CUT)
    broken(server, url, chunked=True).close()  # everything, but not the end of the chunk
    until(source_of(server, url).exists, 30, "the upload to be finished without being asked for")
    assert source_of(server, url).read_bytes() == BODY[:CUT]
    assert httpx.get(url, headers=AUTH).json()["finished"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_comes_back_on_another_connection_goes_on(server: Server, chunked: bool) -> None:
    url = begin(server)
    # A telephone that changes networks: the server never hears that the first connection is dead.
    with broken(server, url, chunked=chunked):
        held_back = MB // 8 if chunked else 1024
        until(lambda: offset(url) > CUT - held_back, 30, "what was sent to count although the request is not over")
        assert go_on(url, offset(url)).status_code == 423
        assert resume(url).status_code == 204
    assert finished(server, url)


def test_of_a_body_with_a_checksum_that_breaks_off_nothing_is_kept(server: Server) -> None:
    url = begin(server)
    digest = "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk="
    broken(server, url, **{"Upload-Checksum": digest}).close()
    assert resume(url).status_code == 204
    assert finished(server, url)


def test_two_at_once_do_not_mix(server: Server) -> None:
    url = begin(server)
    answers: list[httpx.Response] = []
    writers = [threading.Thread(target=lambda: answers.append(go_on(url, 0))) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(answer.status_code for answer in answers)[0] == 204
    assert {answer.status_code for answer in answers} <= {204, 409, 423}
    assert [answer.status_code for answer in answers].count(204) == 1
    assert finished(server, url)


def test_a_server_that_is_killed_costs_a_second_at_most(tmp_path: Path, redis_server: RedisServer) -> None:
    server = start(tmp_path, redis_server.empty(), MAX_UPLOAD_MB=100)
    try:
        url = begin(server)
        with broken(server, url):
            until(lambda: offset(url) > CUT - 1024, 30, "what was sent to count")
            family = server.process_info.children()
            for process in family:
                process.kill()
            psutil.wait_procs(family)
        # gunicorn starts another at once.
        until(lambda: offset(url) > CUT - 1024, 30, "the server to be back", (httpx.HTTPError,))
        assert resume(url).status_code == 204
        assert finished(server, url)
    finally:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_a_client_that_others_wrote(server: Server) -> None:
    client = TusClient(f"{server.url}/v1/uploads", headers=AUTH)
    metadata = {"filename": "täglich.mp3", "filetype": "audio/mpeg"}
    uploader = client.uploader(file_stream=io.BytesIO(BODY), chunk_size=MB, metadata=metadata, upload_checksum=True)
    uploader.upload(stop_at=CUT)
    assert uploader.offset == offset(uploader.url) and CUT <= uploader.offset < len(BODY)
    again = client.uploader(file_stream=io.BytesIO(BODY), chunk_size=2 * MB, url=uploader.url)
    assert again.offset == uploader.offset
    with pytest.raises(TusUploadFailed):
        wrong = client.uploader(file_stream=io.BytesIO(BODY), chunk_size=MB, url=uploader.url)
        wrong.offset = 0
        wrong.upload_chunk()
    again.upload()
    assert finished(server, uploader.url)
    shown = httpx.get(uploader.url, headers=AUTH).json()
    assert shown["name"] == "täglich.mp3"
    job = httpx.post(f"{server.url}/v1/jobs", headers=AUTH, data={"upload": shown["id"]})
    assert job.status_code == 202, job.text
    assert job.json()["id"] == shown["id"]
    source = {"name": "täglich.mp3", "bytes": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}
    assert source.items() <= job.json()["source"].items()
    with httpx.stream("GET", job.json()["links"]["audio"], headers=AUTH) as audio:
        assert b"".join(audio.iter_raw()) == BODY
    assert httpx.delete(job.json()["links"]["self"], headers=AUTH).status_code == 204
    assert not source_of(server, uploader.url).parent.exists()
    assert httpx.get(uploader.url, headers=AUTH).status_code == 404


def test_a_refusal_arrives_although_the_client_is_still_sending(server: Server) -> None:
    url = begin(server, 5)
    answer = httpx.patch(url, headers={**TUS, **BYTES, "Upload-Offset": "0"}, content=os.urandom(20 * MB), timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    def blocks() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(MB)

    answer = httpx.patch(url, headers={**TUS, **BYTES, "Upload-Offset": "0"}, content=blocks(), timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert offset(url) == 0
