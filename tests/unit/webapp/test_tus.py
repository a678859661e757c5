"""Resumable uploads over the application: the protocol's table, who may what, and what is left on the disk."""

import base64
import dataclasses
import hashlib
import secrets
import shutil
import threading
import zlib
from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, update
from werkzeug.test import TestResponse

from store import jobs, keys, uploads
from store.arrivals import Vanished
from store.files import Storage
from store.models import ResumableUpload
from store.open import Store
from store.upload_files import continue_upload
from tests.unit.webapp.conftest import AUTH, SOUND, files_of, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.errors import Problem
from webapp.resumable import pending, writing
from webapp.services import Services

TUS = {**AUTH, "Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"
MB = 1 << 20


def b64(data: bytes | str) -> str:
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


@pytest.fixture(params=["disk", "object storage"])
def services(request: pytest.FixtureRequest, app: Flask) -> Services:
    """The same over files that can grow, and over those that cannot."""
    found: Services = app.extensions["longhand"]
    if request.param == "disk":
        return found
    storage = Storage(f"memory://{secrets.token_hex(4)}")
    changed = dataclasses.replace(found, store=Store(found.store.database, storage, found.store.events))
    app.extensions["longhand"] = changed
    return changed


@pytest.fixture
def client(services: Services, client: FlaskClient) -> FlaskClient:
    """The client, with the storage in its place before the first request."""
    return client


@pytest.fixture
def begin(client: FlaskClient) -> Callable[..., str]:
    """Begin an upload; its path."""

    def begin(length: int | None = len(SOUND), name: str = "talk.mp3") -> str:
        size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        metadata = {"Upload-Metadata": f"filename {b64(name)},filetype {b64('audio/mpeg')}"}
        answer = client.post("/v1/uploads", headers={**TUS, **size, **metadata})
        assert answer.status_code == 201, answer.data
        location: str = answer.headers["Location"]
        assert location.startswith("http://localhost/v1/uploads/")
        return location.removeprefix("http://localhost")

    return begin


@pytest.fixture
def patch(client: FlaskClient) -> Callable[..., TestResponse]:
    """Send bytes."""

    def patch(path: str, offset: int | str, data: bytes, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**TUS, "Upload-Offset": str(offset), "Content-Type": BYTES, **named}
        return client.patch(path, headers=sent, data=data)

    return patch


def nothing() -> None:
    """No objection."""


def offset_of(client: FlaskClient, path: str) -> int:
    answer = client.head(path, headers=TUS)
    assert answer.status_code == 200 and answer.data == b""
    return int(answer.headers["Upload-Offset"])


def stored(services: Services, upload_id: str) -> dict[str, bytes]:
    """The files of an upload."""
    storage = services.store.files
    folder = storage.address(upload_id)
    found = storage.fs.find(folder) if storage.fs.exists(folder) else []
    return {str(path).rpartition(f"{upload_id}/")[2]: storage.fs.cat_file(path) for path in found}


def send(client: FlaskClient, *ids: str, **fields: Any) -> TestResponse:
    headers = {**AUTH, **fields.pop("headers", {})}
    return client.post(
        "/v1/jobs", headers=headers, data={"upload": list(ids), **fields}, content_type="multipart/form-data"
    )


class TestProtocol:
    def test_what_the_server_can_is_told_without_a_key(self, client: FlaskClient, begin: Callable[..., str]) -> None:
        for path in ("/v1/uploads", begin()):
            answer = client.options(path)
            assert (answer.status_code, answer.data) == (204, b"")
            assert answer.headers["Tus-Version"] == answer.headers["Tus-Resumable"] == "1.0.0"
            assert answer.headers["Tus-Max-Size"] == str(MB)
            assert {"creation", "creation-with-upload", "creation-defer-length", "termination", "expiration"} <= set(
                answer.headers["Tus-Extension"].split(",")
            )
            assert set(answer.headers["Tus-Checksum-Algorithm"].split(",")) >= {"sha1", "sha256", "md5", "crc32"}

    def test_from_first_to_last_byte(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin()
        head = client.head(path, headers=TUS)
        assert head.headers["Upload-Offset"] == "0" and head.headers["Upload-Length"] == str(len(SOUND))
        assert head.headers["Cache-Control"] == "no-store"
        assert head.headers["Upload-Metadata"] == f"filename {b64('talk.mp3')},filetype {b64('audio/mpeg')}"
        for at in range(0, len(SOUND), 4000):
            answer = patch(path, at, SOUND[at : at + 4000])
            assert answer.status_code == 204, answer.data
            assert answer.headers["Upload-Offset"] == str(min(at + 4000, len(SOUND)))
            assert parsedate_to_datetime(answer.headers["Upload-Expires"]) > jobs.now() + timedelta(hours=23)
            assert offset_of(client, path) == min(at + 4000, len(SOUND))
        upload_id = path.rpartition("/")[2]
        assert stored(services, upload_id) == {"source": SOUND}
        shown = client.get(path, headers=AUTH).json
        assert shown is not None and shown.pop("expires_at")
        expected = {"id": upload_id, "name": "talk.mp3", "bytes": len(SOUND), "offset": len(SOUND)}
        assert shown == {**expected, "finished": True, "job": None}
        assert patch(path, len(SOUND), b"").status_code == 204
        assert is_problem(patch(path, len(SOUND), b"x"), 413, "too_large")
        assert stored(services, upload_id) == {"source": SOUND}

    def test_in_one_piece(
        self, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin()
        assert patch(path, 0, SOUND).status_code == 204
        upload_id = path.rpartition("/")[2]
        assert stored(services, upload_id) == {"source": SOUND}
        upload = uploads.get(services.store.database, upload_id)
        assert upload is not None and upload.sha256 == hashlib.sha256(SOUND).hexdigest() and upload.lock is None

    def test_the_first_bytes_may_come_along(self, client: FlaskClient, services: Services) -> None:
        for data in (SOUND[:10], SOUND):
            headers = {**TUS, "Upload-Length": str(len(SOUND)), "Content-Type": BYTES}
            answer = client.post("/v1/uploads", headers=headers, data=data)
            assert answer.status_code == 201
            assert answer.headers["Upload-Offset"] == str(len(data))
            assert answer.headers["Upload-Expires"]
            path = answer.headers["Location"].removeprefix("http://localhost")
            assert offset_of(client, path) == len(data)

    def test_the_length_may_follow(
        self, client: FlaskClient, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(None)
        head = client.head(path, headers=TUS)
        assert head.headers["Upload-Defer-Length"] == "1" and "Upload-Length" not in head.headers
        assert patch(path, 0, b"abc").status_code == 204
        assert is_problem(patch(path, 3, b"", Upload_Length="2"), 400, "invalid_option")
        assert is_problem(patch(path, 3, b"", Upload_Length=str(MB + 1)), 413, "too_large")
        assert is_problem(patch(path, 3, b"x" * MB), 413, "too_large")
        assert patch(path, 3, b"def", Upload_Length="8").status_code == 204
        assert is_problem(patch(path, 6, b"gh", Upload_Length="9"), 400, "invalid_option")
        assert patch(path, 6, b"gh", Upload_Length="8").status_code == 204
        assert client.get(path, headers=AUTH).json["finished"]  # type: ignore[index]

    def test_the_length_may_follow_when_all_is_there(
        self, client: FlaskClient, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(None)
        assert patch(path, 0, b"abc").status_code == 204
        assert patch(path, 3, b"", Upload_Length="3").status_code == 204
        assert client.get(path, headers=AUTH).json["finished"]  # type: ignore[index]

    def test_nothing_at_all_is_an_upload_too(self, client: FlaskClient, begin: Callable[..., str]) -> None:
        path = begin(0)
        assert client.get(path, headers=AUTH).json["finished"]  # type: ignore[index]
        assert is_problem(send(client, path.rpartition("/")[2]), 415, "unsupported_media")

    @pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512", "md5", "crc32"])
    def test_a_checksum_is_checked(
        self,
        client: FlaskClient,
        services: Services,
        begin: Callable[..., str],
        patch: Callable[..., TestResponse],
        algorithm: str,
    ) -> None:
        def made(data: bytes) -> str:
            if algorithm == "crc32":
                return f"crc32 {b64(zlib.crc32(data).to_bytes(4, 'big'))}"
            return f"{algorithm} {b64(hashlib.new(algorithm, data).digest())}"

        path = begin()
        assert patch(path, 0, SOUND[:100], Upload_Checksum=made(SOUND[:100])).status_code == 204
        wrong = patch(path, 100, SOUND[100:], Upload_Checksum=made(SOUND[100:-1]))
        assert wrong.status == "460 Checksum Mismatch" and is_problem(wrong, 460, "invalid_option")
        assert offset_of(client, path) == 100
        assert sum(map(len, stored(services, path.rpartition("/")[2]).values())) == 100
        assert patch(path, 100, SOUND[100:], Upload_Checksum=made(SOUND[100:])).status_code == 204
        assert stored(services, path.rpartition("/")[2]) == {"source": SOUND}

    def test_it_can_be_given_up(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin()
        patch(path, 0, b"abc")
        answer = client.delete(path, headers=TUS)
        assert (answer.status_code, answer.data) == (204, b"")
        assert stored(services, path.rpartition("/")[2]) == {}
        for again in (client.head(path, headers=TUS), client.delete(path, headers=TUS), patch(path, 3, b"x")):
            assert again.status_code == 404
        assert is_problem(client.get(path, headers=AUTH), 404, "not_found")

    def test_a_method_may_come_in_a_header(self, client: FlaskClient, begin: Callable[..., str]) -> None:
        path = begin(3)
        headers = {**TUS, "Upload-Offset": "0", "Content-Type": BYTES, "X-HTTP-Method-Override": "PATCH"}
        assert client.post(path, headers=headers, data=b"abc").status_code == 204
        assert offset_of(client, path) == 3
        assert client.post(path, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
        assert client.head(path, headers=TUS).status_code == 404

    def test_a_method_in_a_header_counts_nowhere_else(self, client: FlaskClient) -> None:
        answer = client.post(f"/v1/jobs/{'0' * 32}", headers={**AUTH, "X-HTTP-Method-Override": "DELETE"})
        assert answer.status_code == 405


CREATE = {"Upload-Length": "5"}


@pytest.mark.parametrize("services", ["disk"], indirect=True)
class TestRefusals:
    @pytest.mark.parametrize(
        ("headers", "status", "code"),
        [
            ({}, 400, "invalid_option"),
            ({**CREATE, "Tus-Resumable": "0.2.2"}, 412, "invalid_option"),
            ({**CREATE, "Tus-Resumable": "2"}, 400, "invalid_option"),
            ({**CREATE, "Tus-Resumable": ""}, 400, "invalid_option"),
            ({**CREATE, "Tus-Resumable": "tus"}, 400, "invalid_option"),
            ({**CREATE, "Upload-Defer-Length": "1"}, 400, "invalid_option"),
            ({"Upload-Defer-Length": "2"}, 400, "invalid_option"),
            ({"Upload-Length": "-1"}, 400, "invalid_option"),
            ({"Upload-Length": "five"}, 400, "invalid_option"),
            ({"Upload-Length": "٣"}, 400, "invalid_option"),
            ({"Upload-Length": "9" * 19}, 400, "invalid_option"),
            ({"Upload-Length": str(MB + 1)}, 413, "too_large"),
            ({**CREATE, "Upload-Concat": "partial"}, 400, "invalid_option"),
            ({"Upload-Concat": "final;/v1/uploads/a /v1/uploads/b"}, 400, "invalid_option"),
            ({**CREATE, "Upload-Metadata": "filename"}, 201, ""),
            ({**CREATE, "Upload-Metadata": "filename dGFsaw==, is_confidential"}, 201, ""),
            ({**CREATE, "Upload-Metadata": "filename no*base64"}, 400, "invalid_option"),
            ({**CREATE, "Upload-Metadata": "filename dGFsa"}, 400, "invalid_option"),
            ({**CREATE, "Upload-Metadata": "filename /w=="}, 400, "invalid_option"),
            ({**CREATE, "Upload-Metadata": "a YQ==,a YQ=="}, 400, "invalid_option"),
            ({**CREATE, "Upload-Metadata": "a YQ==,,b YQ=="}, 400, "invalid_option"),
            ({**CREATE, "Upload-Metadata": "ä YQ=="}, 400, "invalid_option"),
            ({**CREATE, "Upload-Checksum": "sha3 YQ=="}, 400, "invalid_option"),
            ({**CREATE, "Upload-Checksum": "sha1 YQ=="}, 400, "invalid_option"),
            ({**CREATE, "Upload-Checksum": "sha1"}, 400, "invalid_option"),
        ],
    )
    def test_a_beginning(
        self, client: FlaskClient, services: Services, headers: dict[str, str], status: int, code: str
    ) -> None:
        answer = client.post("/v1/uploads", headers={**TUS, **headers})
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        assert answer.status_code == status if status == 201 else is_problem(answer, status, code)
        assert status != 412 or answer.headers["Tus-Version"] == "1.0.0"
        assert files_of(services) == set()

    @pytest.mark.parametrize(
        ("headers", "data", "status"),
        [
            ({"Content-Type": "text/plain"}, b"abc", 415),
            ({"Content-Type": BYTES}, b"abcdef", 413),
            ({"Content-Type": BYTES, "Upload-Checksum": f"sha1 {b64(bytes(20))}"}, b"abc", 460),
        ],
    )
    def test_a_beginning_with_bytes(
        self, client: FlaskClient, services: Services, headers: dict[str, str], data: bytes, status: int
    ) -> None:
        answer = client.post("/v1/uploads", headers={**TUS, **CREATE, **headers}, data=data)
        assert answer.status_code == status
        assert files_of(services) == set()

    @pytest.mark.parametrize(
        ("headers", "data", "status", "code"),
        [
            ({"Tus-Resumable": "1.0.1"}, b"x", 412, "invalid_option"),
            ({"Content-Type": "application/octet-stream"}, b"x", 415, "unsupported_media"),
            ({"Content-Type": ""}, b"x", 415, "unsupported_media"),
            ({"Upload-Offset": "2"}, b"x", 409, "conflict"),
            ({"Upload-Offset": "4"}, b"x", 409, "conflict"),
            ({"Upload-Offset": "-3"}, b"x", 400, "invalid_option"),
            ({"Upload-Offset": ""}, b"x", 400, "invalid_option"),
            ({"Upload-Length": "4"}, b"x", 400, "invalid_option"),
            ({"Upload-Checksum": "sha1 ?"}, b"x", 400, "invalid_option"),
            ({}, b"xyz", 413, "too_large"),
        ],
    )
    def test_a_continuation(
        self,
        client: FlaskClient,
        begin: Callable[..., str],
        patch: Callable[..., TestResponse],
        headers: dict[str, str],
        data: bytes,
        status: int,
        code: str,
    ) -> None:
        path = begin(5)
        assert patch(path, 0, b"abc").status_code == 204
        sent = {**TUS, "Upload-Offset": "3", "Content-Type": BYTES, **headers}
        answer = client.patch(path, headers={k: v for k, v in sent.items() if v}, data=data)
        assert is_problem(answer, status, code) and answer.headers["Tus-Resumable"] == "1.0.0"
        assert offset_of(client, path) == 3
        assert patch(path, 3, b"de").status_code == 204

    def test_what_has_expired_is_gone(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(3)
        assert patch(path, 0, b"abc").status_code == 204
        change(services, path, expires_at=jobs.now() - timedelta(seconds=1))
        for answer in (patch(path, 3, b""), client.get(path, headers=AUTH), client.delete(path, headers=TUS)):
            assert is_problem(answer, 410, "not_found")
        assert client.head(path, headers=TUS).status_code == 410
        assert is_problem(send(client, path.rpartition("/")[2]), 404, "not_found")

    @pytest.mark.parametrize("path", ["/v1/uploads/x", f"/v1/uploads/{'0' * 32}", f"/v1/uploads/{'A' * 32}"])
    def test_what_never_was(self, client: FlaskClient, patch: Callable[..., TestResponse], path: str) -> None:
        for answer in (patch(path, 0, b"x"), client.get(path, headers=AUTH), client.delete(path, headers=TUS)):
            assert is_problem(answer, 404, "not_found")

    @pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PATCH", "DELETE"])
    def test_a_key_is_needed(self, client: FlaskClient, begin: Callable[..., str], method: str) -> None:
        path = "/v1/uploads" if method == "POST" else begin()
        answer = client.open(path, method=method, headers={"Tus-Resumable": "1.0.0"})
        assert answer.status_code == 401 and answer.headers["Tus-Resumable"] == "1.0.0"

    def test_no_room(self, client: FlaskClient, make: Callable[..., Flask]) -> None:
        huge = make(max_upload_mb=1 << 40).test_client()
        answer = huge.post("/v1/uploads", headers={**TUS, "Upload-Length": str(1 << 59)})
        assert is_problem(answer, 503, "internal") and answer.headers["Retry-After"]


@pytest.mark.parametrize("services", ["disk"], indirect=True)
class TestBounds:
    """What may be announced and not be there yet."""

    def another(self, client: FlaskClient, length: int | None = 1, **headers: str) -> TestResponse:
        size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        return client.post("/v1/uploads", headers={**TUS, **size, **headers})

    def test_so_many_at_once(
        self,
        client: FlaskClient,
        services: Services,
        patch: Callable[..., TestResponse],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(pending, "MOST_UPLOADS", 3)
        paths = [self.another(client).headers["Location"].removeprefix("http://localhost") for _ in range(3)]
        refused = self.another(client)
        assert is_problem(refused, 429, "rate_limited") and int(refused.headers["Retry-After"]) > 0
        _, key = keys.create(services.store.database, "other", scopes=("read", "transcribe"))
        assert self.another(client, Authorization=f"Bearer {key}").status_code == 201
        # Neither a finished nor a deleted one counts, nor one whose time is over.
        assert patch(paths[0], 0, b"x").status_code == 204
        assert self.another(client).status_code == 201
        assert client.delete(paths[1], headers=TUS).status_code == 204
        assert self.another(client).status_code == 201
        change(services, paths[2], expires_at=jobs.now() - timedelta(seconds=1))
        assert self.another(client).status_code == 201
        assert is_problem(self.another(client), 429, "rate_limited")

    def test_so_many_bytes_together(
        self, make: Callable[..., Flask], patch: Callable[..., TestResponse], services: Services
    ) -> None:
        app = make(max_upload_mb=1, max_pending_upload_gb=2 / 1024)
        app.extensions["longhand"] = dataclasses.replace(app.extensions["longhand"], store=services.store)
        client = app.test_client()
        first = self.another(client, MB)
        assert self.another(client, None).status_code == 201, "counts as the most that it may become"
        assert is_problem(self.another(client, 1), 429, "rate_limited")
        assert patch(first.headers["Location"].removeprefix("http://localhost"), 0, bytes(MB)).status_code == 204
        assert self.another(client, MB).status_code == 201
        assert is_problem(self.another(client, 1), 429, "rate_limited")

    def test_one_is_always_possible(self, services: Services, make: Callable[..., Flask]) -> None:
        client = make(max_upload_mb=1, max_pending_upload_gb=1e-9).test_client()
        assert self.another(client, MB).status_code == 201
        assert is_problem(self.another(client, 1), 429, "rate_limited")

    def test_the_disk_has_room_for_all_that_is_announced(
        self, make: Callable[..., Flask], services: Services, tmp_path: Path
    ) -> None:
        app = make(max_upload_mb=1 << 40, max_pending_upload_gb=1 << 40)
        app.extensions["longhand"] = dataclasses.replace(app.extensions["longhand"], store=services.store)
        client = app.test_client()
        most = shutil.disk_usage(tmp_path).free * 6 // 10
        assert self.another(client, most).status_code == 201
        assert is_problem(self.another(client, most), 503, "internal")
        deferred = self.another(client, None).headers["Location"].removeprefix("http://localhost")
        late = client.patch(deferred, headers={**TUS, "Upload-Offset": "0", "Upload-Length": str(most)})
        assert is_problem(late, 503, "internal")
        assert client.head(deferred, headers=TUS).headers["Upload-Defer-Length"] == "1"


def change(services: Services, path: str, **columns: Any) -> None:
    upload_id = path.rpartition("/")[2]
    with services.store.database.write() as session:
        session.execute(update(ResumableUpload).where(ResumableUpload.id == upload_id).values(**columns))


def unfinished(services: Services, path: str, patch: Callable[..., TestResponse], *, renamed: bool = False) -> str:
    """Make an upload of six bytes one whose last writer died between the last byte and finishing it; its path."""
    upload_id, database = path.rpartition("/")[2], services.store.database
    assert patch(path, 0, b"abc").status_code == 204
    found = uploads.get(database, upload_id)
    assert found is not None and uploads.lock(database, upload_id, claim="dying", hours=1)
    dying = continue_upload(services.store.files, upload_id, offset=3, parts=found.parts, check=nothing)
    dying.write(b"def")
    dying.save()
    assert uploads.advance(database, upload_id, claim="dying", offset=6, parts=dying.parts, hours=1)
    if renamed:
        dying.finish(lambda: None)
    dying.close()
    change(services, path, locked_at=jobs.now() - timedelta(seconds=uploads.IDLE_SECONDS + 1))
    return path


class TestLostBytes:
    """What storage does not have any more is nobody's mistake, and no reason for a 500."""

    def forgotten(self, client: FlaskClient, services: Services, path: str) -> bool:
        gone = client.head(path, headers=TUS).status_code == 404
        return gone and stored(services, path.rpartition("/")[2]) == {}

    @pytest.mark.parametrize("services", ["object storage"], indirect=True)
    @pytest.mark.parametrize("bytes_more", [b"d", b"def"])
    def test_parts(
        self,
        client: FlaskClient,
        services: Services,
        begin: Callable[..., str],
        patch: Callable[..., TestResponse],
        bytes_more: bytes,
    ) -> None:
        path = begin(6)
        assert [patch(path, at, b"abc"[at : at + 1]).status_code for at in range(3)] == [204] * 3
        storage, upload_id = services.store.files, path.rpartition("/")[2]
        storage.remove(upload_id, storage.names(upload_id, "parts")[1])
        assert is_problem(patch(path, 3, bytes_more), 410, "not_found")
        assert self.forgotten(client, services, path)
        assert is_problem(patch(path, 3, bytes_more), 404, "not_found")

    @pytest.mark.parametrize("services", ["object storage"], indirect=True)
    def test_parts_of_what_is_all_there(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = unfinished(services, begin(6), patch)
        upload_id = path.rpartition("/")[2]
        services.store.files.remove(upload_id, *services.store.files.names(upload_id, "parts"))
        assert is_problem(send(client, upload_id), 404, "not_found")
        assert self.forgotten(client, services, path)

    @pytest.mark.parametrize("services", ["object storage"], indirect=True)
    def test_a_part_that_goes_while_all_are_put_together(
        self, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(6)
        assert patch(path, 0, b"abc").status_code == 204
        upload_id = path.rpartition("/")[2]
        found = uploads.get(services.store.database, upload_id)
        assert found is not None
        arrival = continue_upload(services.store.files, upload_id, offset=3, parts=found.parts, check=nothing)
        arrival.write(b"def")
        services.store.files.remove(upload_id, *found.parts)
        with pytest.raises(Vanished):
            arrival.finish(lambda: None)
        arrival.close()

    def test_a_finished_upload(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(3)
        assert patch(path, 0, b"abc").status_code == 204
        upload_id = path.rpartition("/")[2]
        services.store.files.remove(upload_id, "source")
        assert is_problem(send(client, upload_id), 404, "not_found")
        assert self.forgotten(client, services, path)


class TestTwoAtOnce:
    def test_the_second_writer_is_told_to_wait(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(5)
        assert uploads.lock(services.store.database, path.rpartition("/")[2], claim="other", hours=1)
        for answer in (patch(path, 0, b"x"), client.delete(path, headers=TUS)):
            assert is_problem(answer, 423, "conflict") and answer.headers["Retry-After"] == "1"
        change(services, path, locked_at=jobs.now() - timedelta(seconds=uploads.IDLE_SECONDS + 1))
        assert patch(path, 0, b"abc").status_code == 204
        assert not uploads.renew(services.store.database, path.rpartition("/")[2], claim="other")

    def test_one_who_lost_the_upload_changes_nothing(
        self, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(6)
        upload_id, database = path.rpartition("/")[2], services.store.database
        assert uploads.lock(database, upload_id, claim="other", hours=1)
        stale = continue_upload(services.store.files, upload_id, offset=0, parts=[], check=nothing)
        stale.write(b"???")
        change(services, path, locked_at=jobs.now() - timedelta(seconds=uploads.IDLE_SECONDS + 1))
        if services.store.files.local:
            # It still has the file open, so nobody else may write until it lets go.
            assert is_problem(patch(path, 0, b"abc"), 423, "conflict")
            stale.close()
            assert patch(path, 0, b"abc").status_code == 204
        else:
            assert patch(path, 0, b"abc").status_code == 204
            stale.save()
        assert not uploads.advance(database, upload_id, claim="other", offset=3, parts=stale.parts, hours=1)
        assert patch(path, 3, b"def").status_code == 204
        assert stored(services, upload_id) == {"source": b"abcdef"}

    @pytest.mark.parametrize("last", [b"", b"the last"])
    def test_a_last_request_that_comes_twice_finishes_once(
        self, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse], last: bytes
    ) -> None:
        path = begin(None)
        upload_id, database = path.rpartition("/")[2], services.store.database
        whole = b"the first " + last
        assert patch(path, 0, b"the first ").status_code == 204
        # The first of the two has the upload, the second has found it unfinished and waits.
        assert uploads.lock(database, upload_id, claim="first", hours=1)
        asked, answers = threading.Event(), []

        def watch(*said: Any) -> None:
            if said[2].startswith("UPDATE uploads SET lock=") and threading.current_thread() is second:
                asked.set()

        def send_last() -> None:
            answers.append(patch(path, 10, last, Upload_Length=str(len(whole))))

        second = threading.Thread(target=send_last)
        event.listen(database.engine, "after_cursor_execute", watch)
        second.start()
        assert asked.wait(10)
        found = uploads.get(database, upload_id)
        assert found is not None and uploads.declare(database, upload_id, claim="first", length=len(whole))
        arrival = continue_upload(services.store.files, upload_id, offset=10, parts=found.parts, check=nothing)
        arrival.write(last)
        assert uploads.complete(database, upload_id, claim="first", sha256=arrival.finish(lambda: None), hours=1)
        arrival.tidy()
        arrival.close()
        uploads.unlock(database, upload_id, claim="first")
        second.join()
        event.remove(database.engine, "after_cursor_execute", watch)
        assert [answer.status_code for answer in answers] == [409 if last else 204], answers[0].data
        assert stored(services, upload_id) == {"source": whole}
        assert patch(path, 10, last, Upload_Length=str(len(whole))).status_code == (409 if last else 204)
        assert stored(services, upload_id) == {"source": whole}
        found = uploads.get(database, upload_id)
        assert found is not None and found.sha256 == hashlib.sha256(whole).hexdigest() and found.lock is None

    def test_two_equal_last_requests_at_once(
        self, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(len(SOUND))
        answers: list[int] = []
        writers = [threading.Thread(target=lambda: answers.append(patch(path, 0, SOUND).status_code)) for _ in "12"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sorted(answers) == [204, 409]
        assert stored(services, path.rpartition("/")[2]) == {"source": SOUND}

    def test_nobody_writes_to_what_is_finished(
        self, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(3)
        upload_id, database = path.rpartition("/")[2], services.store.database
        assert patch(path, 0, b"abc").status_code == 204
        assert not uploads.lock(database, upload_id, claim="late", hours=1)
        assert uploads.take(database, upload_id)
        assert not uploads.lock(database, upload_id, claim="later", hours=1)
        assert patch(path, 3, b"").status_code == 204

    @pytest.mark.parametrize("again", [False, True])
    def test_one_who_comes_late_touches_nothing_of_what_is_finished(
        self, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse], again: bool
    ) -> None:
        path = begin(6)
        upload_id, database = path.rpartition("/")[2], services.store.database
        assert patch(path, 0, b"abc").status_code == 204
        # Held, its record read; then its thread stood still for so long that another went on.
        late = writing.Hold(services, upload_id)
        assert late.take(patience=0)
        found = uploads.get(database, upload_id)
        change(services, path, locked_at=jobs.now() - timedelta(seconds=uploads.IDLE_SECONDS + 1))
        assert found is not None and patch(path, 3, b"d" if again else b"def").status_code == 204
        before = stored(services, upload_id)
        with pytest.raises(Problem) as raised:
            continue_upload(services.store.files, upload_id, offset=3, parts=found.parts, check=late.check)
        assert raised.value.status == 409
        assert stored(services, upload_id) == before
        if again:
            assert patch(path, 4, b"ef").status_code == 204
        assert stored(services, upload_id) == {"source": b"abcdef"}

    @pytest.mark.parametrize("services", ["disk"], indirect=True)
    def test_a_file_that_is_renamed_between_two_looks(
        self,
        services: Services,
        begin: Callable[..., str],
        patch: Callable[..., TestResponse],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The writer before it makes it whole, without telling the record, just when this one looks for it."""
        path = begin(6)
        upload_id = path.rpartition("/")[2]
        assert patch(path, 0, b"abc").status_code == 204
        growing = Path(services.store.files.address(upload_id, "arriving.part"))
        opened, moves = Path.open, iter([True])

        def open_late(this: Path, *args: Any, **options: Any) -> Any:
            if this == growing and next(moves, False):
                growing.rename(growing.with_name("source"))
            return opened(this, *args, **options)

        monkeypatch.setattr(Path, "open", open_late)
        assert patch(path, 3, b"def").status_code == 204
        assert stored(services, upload_id) == {"source": b"abcdef"}


class TestAfterACrash:
    def test_what_the_record_does_not_know_is_forgotten(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(6)
        upload_id = path.rpartition("/")[2]
        assert patch(path, 0, b"ab").status_code == 204
        upload = uploads.get(services.store.database, upload_id)
        assert upload is not None
        dying = continue_upload(services.store.files, upload_id, offset=2, parts=upload.parts, check=nothing)
        dying.write(b"unknown")
        dying.save()  # and then, before the record heard of it, SIGKILL
        dying.close()
        assert offset_of(client, path) == 2
        assert patch(path, 2, b"cdef").status_code == 204
        assert stored(services, upload_id) == {"source": b"abcdef"}

    def test_a_finish_that_was_not_recorded_is_repeated(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(6)
        upload_id = path.rpartition("/")[2]
        assert patch(path, 0, b"ab").status_code == 204
        upload = uploads.get(services.store.database, upload_id)
        assert upload is not None
        dying = continue_upload(services.store.files, upload_id, offset=2, parts=upload.parts, check=nothing)
        dying.write(b"cdef")
        dying.finish(lambda: None)  # and then, before the record heard of it, SIGKILL
        dying.close()
        assert offset_of(client, path) == 2
        assert patch(path, 2, b"CDEF").status_code == 204
        assert stored(services, upload_id) == {"source": b"abCDEF"}
        upload = uploads.get(services.store.database, upload_id)
        assert upload is not None and upload.sha256 == hashlib.sha256(b"abCDEF").hexdigest()

    @pytest.mark.parametrize("how", ["HEAD", "GET", "PATCH", "job"])
    @pytest.mark.parametrize("renamed", [False, True])
    def test_what_is_all_there_is_finished_by_whoever_comes_next(
        self,
        client: FlaskClient,
        services: Services,
        begin: Callable[..., str],
        patch: Callable[..., TestResponse],
        how: str,
        renamed: bool,
    ) -> None:
        path = unfinished(services, begin(6), patch, renamed=renamed)
        upload_id = path.rpartition("/")[2]
        if how == "HEAD":
            assert offset_of(client, path) == 6
        elif how == "GET":
            assert client.get(path, headers=AUTH).json["finished"]  # type: ignore[index]
        elif how == "PATCH":
            assert patch(path, 6, b"").status_code == 204
        assert send(client, upload_id).status_code == 202
        assert stored(services, upload_id) == {"source": b"abcdef"}
        job = jobs.get(services.store.database, upload_id)
        assert job is not None and job.source_sha256 == hashlib.sha256(b"abcdef").hexdigest()

    def test_what_is_just_being_finished_is_looked_at_only(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = unfinished(services, begin(6), patch)
        assert uploads.lock(services.store.database, path.rpartition("/")[2], claim="other", hours=1)
        assert offset_of(client, path) == 6
        assert not client.get(path, headers=AUTH).json["finished"]  # type: ignore[index]
        uploads.unlock(services.store.database, path.rpartition("/")[2], claim="other")
        assert client.get(path, headers=AUTH).json["finished"]  # type: ignore[index]

    @pytest.mark.parametrize("services", ["disk"], indirect=True)
    def test_what_only_seemed_to_be_all_there_is_asked_for_again(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = unfinished(services, begin(6), patch)
        next(Path(services.store.files.address(path.rpartition("/")[2])).iterdir()).write_bytes(b"abcd")
        assert offset_of(client, path) == 4
        assert is_problem(send(client, path.rpartition("/")[2]), 409, "conflict")
        assert patch(path, 4, b"ef").status_code == 204
        assert stored(services, path.rpartition("/")[2]) == {"source": b"abcdef"}

    @pytest.mark.parametrize("services", ["disk"], indirect=True)
    def test_bytes_that_a_power_cut_took_are_asked_for_again(
        self, client: FlaskClient, services: Services, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin(6)
        assert patch(path, 0, b"abcd").status_code == 204
        file = next(Path(services.store.files.address(path.rpartition("/")[2])).iterdir())
        file.write_bytes(b"ab")
        assert is_problem(patch(path, 4, b"ef"), 409, "conflict")
        assert offset_of(client, path) == 2
        assert patch(path, 2, b"cdef").status_code == 204
        assert stored(services, path.rpartition("/")[2]) == {"source": b"abcdef"}


@pytest.fixture
def upload(begin: Callable[..., str], patch: Callable[..., TestResponse]) -> Callable[..., str]:
    """A finished upload; its id."""

    def upload(data: bytes = SOUND, name: str = "talk.mp3") -> str:
        path = begin(len(data), name)
        assert patch(path, 0, data).status_code == 204
        return path.rpartition("/")[2]

    return upload


class TestJobs:
    def test_an_upload_becomes_a_job_without_a_copy(
        self, client: FlaskClient, services: Services, upload: Callable[..., str]
    ) -> None:
        upload_id = upload(name="../ta\u202elk\n.mp3")
        answer = send(client, upload_id, language="en")
        assert answer.status_code == 202, answer.data
        job = answer.json
        assert job is not None and job["id"] == upload_id and job["options"]["language"] == "en"
        source = {"name": "talk.mp3", "bytes": len(SOUND), "sha256": hashlib.sha256(SOUND).hexdigest()}
        assert source.items() <= job["source"].items()
        assert stored(services, upload_id) == {"source": SOUND}
        shown = client.get(f"/v1/uploads/{upload_id}", headers=AUTH).json
        assert shown is not None and shown["job"] == upload_id
        assert is_problem(client.delete(f"/v1/uploads/{upload_id}", headers=TUS), 409, "conflict")
        assert is_problem(send(client, upload_id), 409, "conflict")
        work_off(services, upload_id)
        assert client.get(f"/v1/jobs/{upload_id}/audio", headers=AUTH).data == SOUND
        assert client.delete(f"/v1/jobs/{upload_id}", headers=AUTH).status_code == 204
        assert stored(services, upload_id) == {} and uploads.get(services.store.database, upload_id) is None
        assert is_problem(send(client, upload_id), 404, "not_found")

    @pytest.mark.parametrize("kind", ["plain form", "JSON", "JSON array"])
    def test_however_the_request_is_written(self, client: FlaskClient, upload: Callable[..., str], kind: str) -> None:
        upload_id = upload()
        if kind == "plain form":
            answer = client.post("/v1/jobs", headers=AUTH, data={"upload": upload_id})
        else:
            answer = client.post(
                "/v1/jobs", headers=AUTH, json={"upload": upload_id if kind == "JSON" else [upload_id]}
            )
        assert answer.status_code == 202, answer.data
        assert answer.json is not None and answer.json["id"] == upload_id

    def test_files_and_uploads_are_a_batch_in_their_order(
        self, client: FlaskClient, upload: Callable[..., str]
    ) -> None:
        first, second = upload(b"one", "1.mp3"), upload(b"two", "3.mp3")
        parts = [
            f'name="upload"\r\n\r\n{first}',
            'name="file"; filename="2.mp3"\r\n\r\nx',
            f'name="upload"\r\n\r\n{second}',
        ]
        body = "".join(f"--B\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--B--\r\n"
        answer = client.post("/v1/jobs", headers=AUTH, data=body, content_type="multipart/form-data; boundary=B")
        assert answer.status_code == 202, answer.data
        made = answer.json["jobs"]  # type: ignore[index]
        assert [job["source"]["name"] for job in made] == ["1.mp3", "2.mp3", "3.mp3"]
        assert [made[0]["id"], made[2]["id"]] == [first, second]

    def test_what_is_not_finished_must_be_first(
        self, client: FlaskClient, begin: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        path = begin()
        patch(path, 0, SOUND[:-1])
        assert is_problem(send(client, path.rpartition("/")[2]), 409, "conflict")
        assert patch(path, len(SOUND) - 1, SOUND[-1:]).status_code == 204
        assert send(client, path.rpartition("/")[2]).status_code == 202

    @pytest.mark.parametrize("named", ["x", "0" * 32, "../" * 9, "%s,%s", "é"])
    def test_what_there_is_not(self, client: FlaskClient, named: str) -> None:
        assert is_problem(send(client, named), 404, "not_found")

    def test_a_request_names_so_many_at_most(self, client: FlaskClient) -> None:
        several = {"url": ["https://example.org/a.mp3"] * 500, "upload": [f"{n:032x}" for n in range(501)]}
        assert is_problem(client.post("/v1/jobs", headers=AUTH, json=several), 413, "too_large")

    def test_once_is_enough(self, client: FlaskClient, upload: Callable[..., str]) -> None:
        upload_id = upload()
        assert is_problem(send(client, upload_id, upload_id), 400, "invalid_option")
        assert send(client, upload_id).status_code == 202

    def test_a_refused_request_leaves_the_upload(
        self,
        client: FlaskClient,
        services: Services,
        upload: Callable[..., str],
        make: Callable[..., Flask],
        tmp_path: Path,
    ) -> None:
        free, taken = upload(), upload()
        assert send(client, taken).status_code == 202
        assert is_problem(send(client, free, nonsense="1"), 400, "invalid_option")
        assert is_problem(send(client, taken), 409, "conflict")
        assert is_problem(send(client, "0" * 32), 404, "not_found")
        assert is_problem(send(client, taken, headers={"Idempotency-Key": "k"}), 409, "conflict")
        away = make(redis_url=f"unix://{tmp_path}/nobody")
        away.extensions["longhand"] = dataclasses.replace(away.extensions["longhand"], store=services.store)
        assert is_problem(send(away.test_client(), free), 503, "internal")
        assert stored(services, free) == {"source": SOUND}
        assert jobs.get(services.store.database, free) is None
        assert send(client, free, headers={"Idempotency-Key": "k"}).status_code == 202

    def test_one_that_cannot_be_used_sinks_no_other(
        self,
        client: FlaskClient,
        services: Services,
        begin: Callable[..., str],
        upload: Callable[..., str],
    ) -> None:
        taken, good, more, begun = upload(), upload(), upload(b"", "empty.mp3"), begin().rpartition("/")[2]
        assert send(client, taken).status_code == 202
        key = {"Idempotency-Key": "batch"}
        asked = (taken, "0" * 32, good, begun, "../x", more)
        answer = send(client, *asked, headers=key)
        assert answer.status_code == 202 and answer.json is not None
        made = answer.json["jobs"]
        errors = [job["error"] and (job["error"]["code"], job["error"]["detail"]) for job in made]
        assert [error and error[0] for error in errors] == [
            *("conflict", "not_found", None, "conflict", "not_found", "unsupported_media"),
        ]
        assert taken in errors[0][1] and "0" * 32 in errors[1][1] and "not finished" in errors[3][1]
        assert [job["status"] for job in made] == [*["failed"] * 2, "queued", *["failed"] * 3]
        assert made[2]["id"] == good and not {taken, begun, "0" * 32} & {job["id"] for job in made}
        assert [job["source"]["name"] for job in made] == [
            *("talk.mp3", "0" * 32, "talk.mp3", begun, "x", "empty.mp3"),
        ]
        for job in (made[0], made[1], made[3]):
            assert is_problem(client.post(f"/v1/jobs/{job['id']}/retry", headers=AUTH), 409, "conflict")
            assert client.get(f"/v1/jobs/{job['id']}/audio", headers=AUTH).status_code == 404
        again = send(client, *asked, headers=key)
        assert again.json is not None and again.json["batch"] == answer.json["batch"]
        assert is_problem(send(client, *asked[:-1], "1" * 32, headers=key), 422, "invalid_option")
        assert stored(services, good) == stored(services, taken) == {"source": SOUND}

    def test_the_same_request_again_gives_the_same_job(
        self, client: FlaskClient, services: Services, upload: Callable[..., str]
    ) -> None:
        upload_id = upload()
        key = {"Idempotency-Key": "once"}
        first, again = send(client, upload_id, headers=key), send(client, upload_id, headers=key)
        assert first.status_code == again.status_code == 202
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.json is not None and again.json["id"] == upload_id
        assert stored(services, upload_id) == {"source": SOUND}
        other = upload()
        # The same recording again: the job that is there answers, and the second upload stays its client's.
        assert send(client, other, headers=key).headers.get("Idempotency-Replayed") == "true"
        assert stored(services, other) == {"source": SOUND}

    def test_anothers_upload_is_not_there(
        self, client: FlaskClient, services: Services, upload: Callable[..., str], patch: Callable[..., TestResponse]
    ) -> None:
        upload_id = upload()
        path = f"/v1/uploads/{upload_id}"
        _, key = keys.create(services.store.database, "other", scopes=("read", "transcribe"))
        other = {"Authorization": f"Bearer {key}", "Tus-Resumable": "1.0.0"}
        assert client.head(path, headers=other).status_code == 404
        assert client.get(path, headers=other).status_code == 404
        assert client.delete(path, headers=other).status_code == 404
        assert patch(path, len(SOUND), b"", Authorization=other["Authorization"]).status_code == 404
        assert is_problem(send(client, upload_id, headers=other), 404, "not_found")
        assert send(client, upload_id).status_code == 202
