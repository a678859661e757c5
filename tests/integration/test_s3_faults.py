"""What is lost, slow or refused between us and S3: nothing is taken for done, or for lost, that is not."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from cli import storage as looked_at
from config.settings import Settings
from config.storage import encryption
from pipelines.errors import TransientError
from pipelines.stage import discover
from store import ownership, s3_sending
from store.arrivals import Vanished
from store.database import Database
from store.file_errors import Damaged, ScratchFull, StorageAway, StorageFull, StorageRefused
from store.files import HERE, Storage
from store.forgotten import abandon, forgotten, old_probes
from store.steps import Piece
from store.upload_files import continue_upload
from tasks.again import AWAY
from tasks.workfiles import WorkFiles
from tests.s3_proxy import Fault, Proxy
from tests.s3_server import BUCKET, S3Server, s3_lacks

MB = 1 << 20
LARGE = bytes(range(256)) * (20 * MB // 256)
OURS, OTHER = "a" * 32, "b" * 32

pytestmark = pytest.mark.skipif(s3_lacks() is not None, reason=s3_lacks() or "")


@pytest.fixture(scope="module")
def line(s3: S3Server) -> Iterator[Proxy]:
    with Proxy(s3.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def connection(s3: S3Server, line: Proxy) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"AWS_EC2_METADATA_DISABLED": "true", **s3.env, "AWS_ENDPOINT_URL": line.url}.items():
            patch.setenv(name, value)
        yield Storage(f"s3://{BUCKET}/faults").s3


@pytest.fixture
def storage(connection: Any, line: Proxy) -> Iterator[Storage]:
    """The bucket beyond the line, with nothing in it; to connect anew for each test would take most of their time."""
    line.wrong()
    found = Storage(f"s3://{BUCKET}/faults")
    found._made = (os.getpid(), connection)
    yield found
    line.wrong()
    connection._one_by_one = False
    connection.clear(f"{BUCKET}/faults")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


def write(storage: Storage, name: str, content: bytes = b"x", job_id: str = OURS) -> None:
    with storage.create(job_id, name) as upload:
        upload.write(content)
        upload.keep()


def settings(url: str = f"s3://{BUCKET}/faults") -> Settings:
    return Settings(_env_file=None, storage_url=url, database_url="postgresql+psycopg://host/name")  # type: ignore[call-arg]


def test_a_server_that_thinks_for_long_is_waited_for(storage: Storage, line: Proxy, large: Path) -> None:
    write(storage, "small")
    # The one that ends a file of parts, and a copy, say nothing until they are done.
    line.wrong(Fault("CompleteMultipartUpload", thinks=9), Fault("CopyObject", thinks=9))
    copying = threading.Thread(target=storage.copy, args=(OURS, "small", "copy"))
    copying.start()
    storage.put(OURS, "large", large)
    copying.join()
    assert line.names().count("CompleteMultipartUpload") == line.names().count("CopyObject") == 1
    assert storage.read(OURS, "copy") == b"x" and storage.size(OURS, "large") == len(LARGE)


def test_an_answer_that_is_lost_undoes_nothing(storage: Storage, line: Proxy, large: Path) -> None:
    line.wrong(Fault("CompleteMultipartUpload", times=1, loses=True))
    storage.put(OURS, "put", large)
    assert storage.size(OURS, "put") == len(LARGE) and not large.exists()
    line.wrong(Fault("CompleteMultipartUpload", times=1, loses=True))
    write(storage, "written", LARGE)
    assert storage.read(OURS, "written") == LARGE
    assert "AbortMultipartUpload" not in line.names()


def test_what_was_not_made_is_no_missing_file_and_what_may_be_there_is_known_to(
    storage: Storage, line: Proxy, large: Path
) -> None:
    write(storage, "large", LARGE[::-1])  # of the same length, by a try before
    line.wrong(Fault("CompleteMultipartUpload", says=("NoSuchUpload", 404)))
    with pytest.raises(StorageAway):
        storage.put(OURS, "large", large)
    assert large.exists()
    upload = storage.create(OURS, "lost")
    upload.write(LARGE)
    assert not upload.left_behind
    line.wrong(Fault("CompleteMultipartUpload", loses=True), Fault("HeadObject", says=("InternalError", 500)))
    with pytest.raises(StorageAway):
        upload.keep()
    upload.drop()
    assert upload.left_behind
    line.wrong()
    assert storage.read(OURS, "lost") == LARGE, "it is there, so it was right to say so"
    broken = storage.create(OURS, "broken")
    broken.drop()
    assert not broken.left_behind


def test_credentials_are_read_again_when_they_are_refused(
    storage: Storage, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del storage
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "aws_credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for first in ("", f"[default]\naws_access_key_id = {s3.key}\naws_secret_access_key = of-yesterday\n"):
        file.write_text(first)
        rotated = Storage(f"s3://{BUCKET}/faults")
        with pytest.raises(StorageAway):
            write(rotated, "new")
        file.write_text(f"[default]\naws_access_key_id = {s3.key}\naws_secret_access_key = {s3.secret}\n")
        write(rotated, "new")
        assert rotated.read(OURS, "new") == b"x"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (("ListObjectsV2", "AccessDenied", 403), looked_at.REFUSED),
        (("DeleteObjects", "AccessDenied", 403), looked_at.REFUSED),
        (("CreateMultipartUpload", "AccessDenied", 403), looked_at.REFUSED),
        (("ListMultipartUploads", "AccessDenied", 403), looked_at.REFUSED),
        (("PutObject", "XMinioStorageFull", 507), looked_at.FULL),
        (("PutObject", "AuthorizationHeaderMalformed", 400), looked_at.ANSWERED),
        (("GetObject", "KMS.DisabledException", 400), looked_at.ANSWERED),
        (("DeleteObjects", "MissingContentMD5", 400), None),
    ],
)
def test_the_doctor_tries_all_that_is_done(
    storage: Storage, line: Proxy, s3: S3Server, fault: tuple[str, str, int], sentence: str | None
) -> None:
    name, code, status = fault
    line.wrong(Fault(name, says=(code, status)))
    said = looked_at.storage_trouble(settings())
    if sentence is None:
        assert said is None
        write(storage, "one")
        write(storage, "two")
        storage.delete(OURS)
        assert s3.names(f"faults/{OURS}") == [], "one by one"
    elif sentence == looked_at.FULL:
        assert said == sentence
        with pytest.raises(StorageFull):
            write(storage, "one")
    else:
        assert said is not None and code in said and name in said, said
        assert said.startswith(sentence.partition("{}")[0])


def test_what_is_refused_for_one_file_is_no_outage(storage: Storage, line: Proxy) -> None:
    for name in ("frozen", "fine"):
        write(storage, name)
    line.wrong(Fault("GetObject", about="frozen", says=("InvalidObjectState", 403)))
    with pytest.raises(StorageRefused, match="InvalidObjectState") as refused:
        storage.read(OURS, "frozen")
    # Tried MAX_ATTEMPTS times, unlike an outage.
    assert isinstance(refused.value, TransientError) and not isinstance(refused.value, AWAY)
    assert storage.read(OURS, "fine") == b"x"
    storage.check()
    line.wrong(*(Fault(name, says=("AccessDenied", 403)) for name in ("GetObject", "PutObject")))
    other = Storage(f"s3://{BUCKET}/faults")
    with pytest.raises(StorageAway):  # nothing is allowed any more: that is waited for
        other.read(OURS, "fine")


def test_a_file_that_breaks_off_is_gone_on_with(storage: Storage, line: Proxy, large: Path, tmp_path: Path) -> None:
    storage.put(OURS, "large", large)
    line.wrong(Fault("GetObject", times=1, cuts=11 * MB), Fault("GetObject", times=1, cuts=3 * MB))
    assert storage.fetch(OURS, "large", tmp_path, sha256=hashlib.sha256(LARGE).hexdigest()).read_bytes() == LARGE
    ranges = [one.headers.get("range", "") for one in line.asked if one.name == "GetObject"]
    assert ranges[0] == "" and len(ranges) == 3
    assert 8 * MB < int(ranges[1][6:-1]) <= 11 * MB and int(ranges[2][6:-1]) <= 14 * MB
    assert all("if-match" in one.headers for one in line.asked if "range" in one.headers)
    # Written anew meanwhile: half of one and half of the other would be neither.
    line.wrong(Fault("GetObject", times=1, cuts=2 * MB, before=lambda: None))
    line.faults.append(Fault("GetObject", times=1, before=lambda: s3_put(storage, b"new" * MB)))
    assert storage.fetch(OURS, "large", tmp_path).read_bytes() == b"new" * MB


def s3_put(storage: Storage, content: bytes) -> None:
    other = Storage(f"s3://{BUCKET}/faults")
    write(other, "large", content)


def test_a_full_disk_here_is_not_the_storages(storage: Storage, line: Proxy, tmp_path: Path) -> None:
    write(storage, "source")
    line.wrong(Fault("GetObject", claims=1 << 60))
    with pytest.raises(ScratchFull) as full:
        storage.fetch(OURS, "source", tmp_path)
    assert full.value.code == "storage_full" and "worker's own disk" in full.value.detail


def test_a_recording_that_has_changed_is_not_transcribed(storage: Storage, line: Proxy, tmp_path: Path) -> None:
    write(storage, "source", b"sound")
    stage, piece = discover()["normalise"], Piece(OURS, "normalise")
    for content, sound in ((b"sound", True), (b"noise", False)):
        sums = {"source": hashlib.sha256(content).hexdigest()}
        with WorkFiles(storage, stage, piece, tmp_path / content.decode(), sums=sums) as files:
            if sound:
                assert files.path("source").read_bytes() == b"sound"
                continue
            line.wrong()
            with pytest.raises(Damaged, match="Send it again"):
                files.path("source")
            assert line.names() == ["GetObject"] * 2, "the line may have been it"


def test_the_sweep_touches_nothing_that_is_not_called_as_ours(
    storage: Storage, s3: S3Server, caplog: pytest.LogCaptureFixture, line: Proxy
) -> None:
    client = s3.client()
    theirs = ["photos/1.jpg", f"photos/{OURS}/1.jpg", "otherlonghand/x", f"{OURS}x/source", "installation"]
    for key in theirs:
        client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    client.create_multipart_upload(Bucket=BUCKET, Key="photos/2.jpg")
    root = Storage(f"s3://{BUCKET}")
    write(root, "source")
    write(root, "0123456789abcdef", job_id=HERE)
    dead = [client.create_multipart_upload(Bucket=BUCKET, Key=f"{job_id}/source") for job_id in (OURS, OTHER)]
    assert len(dead) == 2
    assert list(forgotten(root, seconds=-60, known=lambda _: set())) == [OURS]
    assert old_probes(root, seconds=-60) == ["0123456789abcdef"] and old_probes(root, seconds=60) == []
    # One is ended by somebody else just then, as the bucket's rule may.
    line.wrong(Fault("AbortMultipartUpload", about=OURS, times=1, says=("NoSuchUpload", 404)))
    abandon(root, seconds=-60)
    found = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    begun = {one["Key"] for one in found if not one["Key"].startswith("faults/")}
    assert begun == {f"{OURS}/source", "photos/2.jpg"} and not caplog.messages
    line.wrong(Fault("AbortMultipartUpload", about=OURS, says=("AccessDenied", 403)))
    abandon(root, seconds=-60)
    assert "cannot be ended" in caplog.text
    line.wrong(Fault("ListMultipartUploads", says=("NotImplemented", 501)), Fault("PutObject", says=("X", 400)))
    abandon(Storage(f"s3://{BUCKET}"), seconds=-60)
    assert "cannot be looked for" in caplog.text
    line.wrong()
    root.delete(OURS)
    root.remove(HERE, "0123456789abcdef")
    assert set(theirs) <= set(s3.names())


def test_files_are_one_records_and_no_others(
    storage: Storage, line: Proxy, tmp_path: Path, database: Callable[[str], Database]
) -> None:
    mine, other = database("mine"), database("other")
    everything, nothing = (lambda ids: set(ids)), (lambda _: set())
    write(storage, "source")
    with pytest.raises(ownership.NotOurs, match="none of which"):  # before anybody has marked them
        ownership.claim(mine, storage, seconds=-60, known=nothing)
    assert not ownership.claim(mine, storage, seconds=60, known=nothing), "too early to tell"
    names: list[str] = []
    hosts = [threading.Thread(target=lambda: names.append(ownership.name_of(mine))) for _ in range(8)]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    assert len(set(names)) == 1
    # A store that knows no conditions.
    line.wrong(Fault("PutObject", about=ownership.MARK, times=1, says=("NotImplemented", 501)))
    assert ownership.claim(mine, storage, seconds=60, known=everything)
    assert ownership.mark_of(storage) == names[0]
    line.wrong()
    assert storage.s3 is not None
    storage.s3.put_once(storage.address(HERE, ownership.MARK), b"late")
    assert ownership.mark_of(storage) == names[0] and ownership.stranger(mine, storage) is None
    with pytest.raises(ownership.NotOurs, match="another installation"):
        ownership.claim(other, storage, seconds=60, known=everything)
    assert ownership.name_of(other) in (ownership.stranger(other, storage) or "")
    ownership.take_over(other, storage)  # a backup was restored there
    assert ownership.claim(other, storage, seconds=60, known=everything)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Callable[[str], Database]]:
    made: list[Database] = []

    def make(name: str) -> Database:
        found = Database(f"sqlite:///{tmp_path / name}.db")
        found.upgrade()
        made.append(found)
        return found

    yield make
    for one in made:
        one.engine.dispose()


class Interrupted(Exception):
    """As a time limit."""


def test_what_is_interrupted_does_not_go_on(storage: Storage, line: Proxy, s3: S3Server, tmp_path: Path) -> None:
    def interrupt(*_: int | FrameType | None) -> None:
        raise Interrupted

    (tmp_path / "small").write_bytes(b"x" * 4096)
    write(storage, "warm")
    line.wrong(Fault("PutObject", waits=1.5))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        began = time.monotonic()
        with pytest.raises(Interrupted):
            storage.put(OURS, "late", tmp_path / "small")
        assert time.monotonic() - began < 1.4, "at once"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    line.wrong()
    write(storage, "after")
    assert line.names() == ["PutObject"], "it is not tried again behind our back"


def test_files_are_encrypted_as_is_asked(storage: Storage, line: Proxy, large: Path) -> None:
    chosen = Storage(f"s3://{BUCKET}/faults", encryption=encryption(None, "alias/recordings"))
    write(chosen, "small")
    chosen.copy(OURS, "small", "copy")
    chosen.put(OURS, "large", large)
    told = {one.name: one.headers for one in line.asked}
    for name in ("PutObject", "CopyObject", "CreateMultipartUpload"):
        assert told[name]["x-amz-server-side-encryption"] == "aws:kms"
        assert told[name]["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/recordings"
    assert "x-amz-server-side-encryption" not in told["UploadPart"]
    assert encryption("AES256", None) == {"ServerSideEncryption": "AES256"} and encryption(None, None) == {}
    assert settings().max_upload_bytes == 2048 * MB
    most = Settings(_env_file=None, storage_url="s3://b/p", database_url="postgresql://h/n", max_upload_mb=10**7)  # type: ignore[call-arg]
    assert most.max_upload_bytes == 80_000 * MB


@pytest.mark.parametrize(
    ("sizes", "joins"), [([9, 6, 1], True), ([2, 1, 7, 2], True), ([1] * 7, True), ([6, 2], False)]
)
def test_pieces_of_an_upload_become_one_file(storage: Storage, line: Proxy, sizes: list[int], joins: bool) -> None:
    content, parts, at = LARGE[: sum(sizes) * MB - 7], list[str](), 0
    for size in sizes:
        arrival = continue_upload(storage, OURS, offset=at, parts=parts, check=lambda: None)
        arrival.write(content[at : at + size * MB])
        arrival.save()
        arrival.close()
        parts, at = arrival.parts, min(len(content), at + size * MB)
    line.wrong(*([] if joins else [Fault("UploadPartCopy", says=("NotImplemented", 501))]))
    arrival = continue_upload(storage, OURS, offset=at, parts=parts, check=lambda: None)
    assert arrival.finish(lambda: None) == hashlib.sha256(content).hexdigest()
    arrival.tidy()
    assert storage.read(OURS, "source") == content
    assert storage.names(OURS, "parts") == []
    if joins:
        sent = sum(len(one.body) for one in line.asked if one.name == "UploadPart")
        alone = sum(size for size in sizes if size < 5) * MB
        assert sent <= alone + 5 * MB, "what is large enough the storage copies by itself"


def test_a_piece_that_vanishes_is_named(storage: Storage) -> None:
    parts = list[str]()
    for at in (0, 6 * MB):
        arrival = continue_upload(storage, OURS, offset=at, parts=parts, check=lambda: None)
        arrival.write(LARGE[: 6 * MB])
        arrival.save()
        parts = arrival.parts
    storage.remove(OURS, parts[0])
    with pytest.raises(Vanished, match=parts[0]):
        arrival.finish(lambda: None)
    assert not storage.exists(OURS, "source")


def test_an_upload_that_is_being_finished_is_not_given_up(storage: Storage, line: Proxy) -> None:
    arrival: Any = continue_upload(storage, OURS, offset=0, parts=[], check=lambda: None)
    arrival.write(b"x" * MB)
    line.wrong(Fault("CopyObject", thinks=3.5))
    beats: list[float] = []
    arrival.finish(lambda: beats.append(time.monotonic()))
    assert len(beats) >= 2, "its lock ends after four seconds without one"

    def lost() -> None:
        raise RuntimeError("another has it")

    line.wrong(Fault("CopyObject", thinks=2.5))
    with pytest.raises(RuntimeError, match="another has it"):
        arrival.finish(lost)


def test_a_large_file_is_copied_in_parts(storage: Storage, line: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    write(storage, "large", LARGE)
    monkeypatch.setattr(s3_sending, "_COPIED_WHOLE", 10 * MB)
    monkeypatch.setattr(s3_sending, "_COPIED_PARTS", 5 * MB)
    storage.copy(OURS, "large", "copy")
    assert line.names().count("UploadPartCopy") == 4 and "CopyObject" not in line.names()
    assert storage.read(OURS, "copy") == LARGE
