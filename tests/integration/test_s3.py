"""S3 over HTTP as the place of all files: moto's server, which checks the signature of every request."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli import storage as looked_at
from config.settings import Settings
from store import jobs
from store.database import Database
from store.file_errors import StorageAway
from store.files import Storage
from store.forgotten import abandon, forgotten
from tests.nursery import Forked
from tests.postgres_server import PostgresServer
from tests.s3_server import BUCKET, REGION, S3Server, s3_lacks
from tests.stack import ROOT, Stack, until

OPTIONS: dict[str, Any] = {"chunk_seconds": 30, "temperature": 0.0, "formats": "srt,vtt"}
CLIP = (ROOT / "models" / "demo" / "sample.flac").read_bytes()
TUS = {"Tus-Resumable": "1.0.0"}
MB = 1 << 20
ANSWER_SECONDS = 60

pytestmark = pytest.mark.skipif(s3_lacks() is not None, reason=s3_lacks() or "")


@pytest.fixture(scope="module")
def on_s3(tmp_path_factory: pytest.TempPathFactory, record: Database, s3: S3Server) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("s3")
    env = {
        "DATABASE_URL": record.url, "UPKEEP_SECONDS": "2", "VISIBILITY_TIMEOUT_SECONDS": "5", "MAX_UPLOAD_MB": "16",
        "LEASE_RENEWAL_SECONDS": "1", "PLUGINS": str(ROOT / "tests" / "plugins"), "WHISPER_ENGINE": "slow",
        "LONGHAND_TEST_SLOW": "0.4", "LONGHAND_TEST_SLOW_LOG": str(folder / "slow"), **s3.env,
    }  # fmt: skip
    with Stack(folder, cpu_children=1, net_threads=2, beat=True, **env) as running:
        yield running
        logs = "".join(running.log(name) for name in running.processes)
        assert s3.secret not in logs and s3.key not in logs
    assert not (folder / "data" / "jobs").exists(), "nothing is kept on this machine"


@pytest.fixture(scope="module")
def undisturbed(on_s3: Stack, s3: S3Server, talk: Path) -> dict[str, Any]:
    """A job, its transcript, and what S3 was asked for it."""
    began = s3.mark()
    done = on_s3.run(talk, **OPTIONS)
    assert done["status"] == "done", done
    return {"id": done["id"], "transcript": on_s3.transcript(done["id"]), "asked": s3.counted(began, about=done["id"])}


def here(s3: S3Server, monkeypatch: pytest.MonkeyPatch, **other: str) -> Storage:
    """The bucket as one more process sees it."""
    for name, value in {"AWS_EC2_METADATA_DISABLED": "true", **s3.env, **other}.items():
        monkeypatch.setenv(name, value)
    return Storage(f"s3://{BUCKET}/aside")


def test_a_job_comes_goes_and_leaves_nothing(
    on_s3: Stack, s3: S3Server, talk: Path, undisturbed: dict[str, Any]
) -> None:
    client, job_id, asked = on_s3.client, undisturbed["id"], undisturbed["asked"]
    # Three chunks: twelve files are written, each in one request, and nobody looks around but once for the pieces.
    assert asked["PUT"] == 12 and asked["LIST"] == 1 and asked["POST"] == asked["DELETE"] == 0, asked
    assert asked.total() <= 60, asked
    audio = f"/v1/jobs/{job_id}/audio"
    whole = client.get(audio)
    assert whole.content == talk.read_bytes() and whole.headers["Accept-Ranges"] == "bytes"
    for wanted, part in (("bytes=100-199", slice(100, 200)), ("bytes=-50", slice(-50, None))):
        answer = client.get(audio, headers={"Range": wanted})
        assert answer.status_code == 206 and answer.content == whole.content[part]
    assert client.get(audio, headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416
    assert client.get(audio, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    for ending, beginning in (("srt", "1\n00:00:0"), ("vtt", "WEBVTT")):
        assert client.get(f"/v1/jobs/{job_id}/transcript.{ending}").text.startswith(beginning)
    assert len(s3.names(f"jobs/{job_id}/")) > 8
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert s3.names(f"jobs/{job_id}/") == []


def uploaded(client: httpx.Client, body: bytes) -> str:
    """The id of an upload that came in two pieces."""
    begun = client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(len(body))}).raise_for_status()
    upload = begun.headers["Location"]
    cut = len(body) // 3
    for start, end in ((0, cut), (cut, len(body))):
        headers = {**TUS, "Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
        assert client.patch(upload, headers=headers, content=body[start:end]).status_code == 204
    return upload.rpartition("/")[2]


def test_a_recording_that_is_frozen_or_damaged_fails_its_job_alone(on_s3: Stack, s3: S3Server) -> None:
    client = on_s3.client
    frozen, damaged = uploaded(client, CLIP), uploaded(client, CLIP)
    for upload_id, changed in ((frozen, {"Body": CLIP, "StorageClass": "GLACIER"}), (damaged, {"Body": CLIP[::-1]})):
        s3.client().put_object(Bucket=BUCKET, Key=f"jobs/{upload_id}/source", **changed)
        client.post("/v1/jobs", data={"upload": upload_id}).raise_for_status()
    told = {}
    for job_id in (damaged, frozen):
        job = on_s3.wait(job_id)
        assert job["status"] == "failed" and job["error"]["code"] == "internal", job
        told[job_id] = job["error"]["detail"], job["steps"][0]["attempts"]
        client.delete(f"/v1/jobs/{job_id}").raise_for_status()
    assert "(InvalidObjectState)" in told[frozen][0] and told[frozen][1] == 4, "as often as MAX_ATTEMPTS says"
    assert "bytes have changed" in told[damaged][0] and told[damaged][1] == 1
    assert client.get("/health/ready").json()["checks"]["storage"]["ok"]


def test_an_upload_in_pieces_becomes_a_job(on_s3: Stack, s3: S3Server) -> None:
    client, body = on_s3.client, CLIP
    upload_id = uploaded(client, body)
    assert s3.names(f"jobs/{upload_id}/") == [f"jobs/{upload_id}/source"], "one file is left of the pieces"
    job = client.post("/v1/jobs", data={"upload": upload_id}).json()
    assert on_s3.wait(job["id"])["status"] == "done"
    assert "Welcome to the product demo." in on_s3.transcript(job["id"])["text"]
    assert client.get(f"/v1/jobs/{job['id']}/audio").content == body
    client.delete(f"/v1/jobs/{job['id']}").raise_for_status()


def test_what_is_too_large_or_broken_off_leaves_nothing(on_s3: Stack, s3: S3Server) -> None:
    began, before = s3.mark(), set(s3.names("jobs/"))
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with pytest.raises(httpx.WriteError):
        on_s3.client.post("/v1/jobs", content=_broken(), headers=headers)
    refused = on_s3.client.post("/v1/jobs", content=_form(), headers=headers)
    assert refused.status_code == 413, refused.text
    until(lambda: parts_since(s3, began) >= 2, 30, "both to have been on their way in parts")
    until(lambda: set(s3.names("jobs/")) <= before, 30, "what arrived of them to be gone")


def parts_since(s3: S3Server, began: int) -> int:
    return sum("partNumber=" in address for _, address, _ in s3.requests(began))


def _form() -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    for _ in range(18):
        yield bytes(MB)
    yield b"\r\n--x--\r\n"


def _broken() -> Iterator[bytes]:
    form = _form()
    for _ in range(16):
        yield next(form)
    raise httpx.WriteError("the line is cut")


def test_openai_clients_notice_nothing(on_s3: Stack) -> None:
    answer = on_s3.client.post(
        "/v1/audio/transcriptions", files={"file": ("a.flac", CLIP)}, data={"model": "whisper-1"}
    ).raise_for_status()
    assert "Welcome to the product demo." in answer.json()["text"]


def test_to_look_whether_it_is_there_costs_next_to_nothing(on_s3: Stack, s3: S3Server) -> None:
    client, began = on_s3.client, s3.mark()
    for _ in range(4):
        assert 'longhand_up{part="storage"} 1.0' in client.get("/metrics").text
        assert client.get("/health/ready").json()["checks"]["storage"]["ok"]
        time.sleep(1.1)  # an answer is good for a second
    counted = s3.counted(began)
    assert counted["HEAD"] >= 4 and counted["PUT"] <= 2, counted


def test_the_server_hangs_in_the_middle_of_chunks(
    on_s3: Stack, s3: S3Server, talk: Path, undisturbed: dict[str, Any]
) -> None:
    client = on_s3.client
    ids = [on_s3.post(talk, **OPTIONS)["id"]]
    until(lambda: at_work(client, ids[0]), 60, "a chunk to be begun")
    s3.pause()
    try:
        told: list[httpx.Response] = []
        asking = [
            threading.Thread(target=lambda: told.append(client.post("/v1/jobs", files={"file": ("a.flac", CLIP)}))),
            threading.Thread(target=lambda: told.append(client.get(f"/v1/jobs/{ids[0]}/audio"))),
        ]
        for one in asking:
            one.start()
        until(lambda: not client.get("/health/ready").json()["checks"]["storage"]["ok"], 30, "the outage to be told")
        assert client.get("/health/live").status_code == 200
        assert client.get(f"/v1/jobs/{ids[0]}").status_code == 200, "what the record knows is told"
        assert 'longhand_up{part="storage"} 0.0' in client.get("/metrics").text
        for one in asking:
            one.join(ANSWER_SECONDS)
    finally:
        s3.resume()
    assert [answer.status_code for answer in told] == [503, 503]
    for answer in told:
        assert "recordings are kept" in answer.json()["detail"] and int(answer.headers["Retry-After"]) > 0
        assert s3.url not in answer.text and BUCKET not in answer.text
    for job_id in ids:
        done = on_s3.wait(job_id)
        assert done["status"] == "done", done["error"]
        assert on_s3.transcript(job_id) == undisturbed["transcript"]
        assert all(step["attempts"] <= 3 for step in done["steps"] if step["stage"] != "transcribe"), done["steps"]
    assert client.get("/health/ready").status_code == 200, "it is known at once that it is back"


def at_work(client: httpx.Client, job_id: str) -> bool:
    steps = {step["stage"]: step for step in client.get(f"/v1/jobs/{job_id}").json()["steps"]}
    return bool(steps["transcribe"]["status"] == "running")


def test_a_backup_goes_from_a_bucket_into_another_place_of_it(
    on_s3: Stack, s3: S3Server, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job_id = on_s3.run(CLIP)["id"]
    run(tmp_path / "log", on_s3.env, "cli.backup", str(tmp_path / "backups"))
    other = Database(postgres.create())
    restored = {**s3.env, "DATABASE_URL": other.url, "STORAGE_URL": f"s3://{BUCKET}/again"}
    # Nobody works there, and nobody of those who work here.
    apart = {"REDIS_URL": on_s3.redis.empty(), "DATA_DIR": str(tmp_path / "data")}
    run(tmp_path / "log", {**on_s3.env, **restored, **apart}, "cli.restore", str(tmp_path / "backups"))
    here(s3, monkeypatch)
    old, new = (Storage(f"s3://{BUCKET}/{place}") for place in ("jobs", "again"))
    names = [name.removeprefix(f"jobs/{job_id}/") for name in s3.names(f"jobs/{job_id}/")]
    # Decoded audio is made again when it is wanted.
    kept = [name for name in names if not name.endswith(".wav")]
    assert "source" in kept and [f"again/{job_id}/{name}" for name in kept] == s3.names(f"again/{job_id}/")
    assert [new.read(job_id, name) for name in kept] == [old.read(job_id, name) for name in kept]
    assert jobs.status(other, job_id) == "done"
    other.engine.dispose()
    postgres.drop(other.url)


def run(log: Path, env: dict[str, str], *command: str) -> None:
    assert Forked(command, env=env, cwd=log.parent, log=log).wait(120) == 0, log.read_text()


def test_retention_takes_every_object(on_s3: Stack, s3: S3Server, postgres: PostgresServer, record: Database) -> None:
    assert s3.names("jobs/"), "those of the tests before"
    database = record.url.partition("?")[0].rpartition("/")[2]

    def gone() -> bool:
        postgres.say("UPDATE jobs SET finished_at = finished_at - interval '40 days'", database)
        return not s3.names("jobs/")

    until(gone, 60, "the expired to be deleted", every=0.5)
    assert on_s3.client.get("/v1/jobs").json()["jobs"] == []


def test_every_process_sees_at_once_what_another_wrote(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = here(s3, monkeypatch), here(s3, monkeypatch)
    assert one.names("job", "segments") == [] and not one.exists("job", "segments/0.json")
    for number in range(3):
        name = f"segments/{number}.json"
        with other.create("job", name) as upload:
            upload.write(b"{}")
            assert not one.exists("job", name), "nobody sees half a file"
            upload.keep()
        assert one.exists("job", name) and one.read("job", name) == b"{}" and one.size("job", name) == 2
    assert one.names("job", "segments") == [f"segments/{number}.json" for number in range(3)]
    other.copy("job", "segments/0.json", "copy")
    other.remove("job", "segments/0.json", "segments/never.json")
    assert one.names("job", "segments") == ["segments/1.json", "segments/2.json"] and one.read("job", "copy") == b"{}"
    with pytest.raises(FileNotFoundError):
        one.open("job", "segments/0.json")
    other.delete("job")
    assert s3.names("aside/") == []


def test_large_files_go_in_parts_and_come_back(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    storage, began = here(s3, monkeypatch), s3.mark()
    content = bytes(range(256)) * (20 * MB // 256)
    (tmp_path / "large").write_bytes(content)
    storage.put("job", "large", tmp_path / "large")
    assert not (tmp_path / "large").exists()
    with storage.create("job", "written") as upload:
        for start in range(0, len(content), MB):
            upload.write(content[start : start + MB])
        upload.keep()
    assert parts_since(s3, began) == 6
    for name in ("large", "written"):
        assert storage.fetch("job", name, tmp_path).read_bytes() == content
        began = s3.mark()
        with storage.open("job", name) as stream:
            stream.seek(10 * MB + 1)
            assert stream.read(3) == b"\x01\x02\x03"
        assert s3.counted(began) == {"HEAD": 1, "GET": 1}
    storage.delete("job")


def test_what_nobody_finished_is_swept_up(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = here(s3, monkeypatch)
    lost, kept, other = (letter * 32 for letter in "abc")
    begun = storage.create(lost, "source")
    begun.write(bytes(9 * MB))
    for job_id in (kept, lost, other):
        with storage.create(job_id, "media.json") as upload:
            upload.write(b"{}")
            upload.keep()
    assert list(forgotten(storage, seconds=3600, known=lambda _: set())) == []
    began = s3.mark()
    assert list(forgotten(storage, seconds=-60, known=lambda ids: set(ids) - {lost})) == [lost]
    assert s3.counted(began) == {"LIST": 2}, "nobody looks at what is known"
    abandon(storage, seconds=1e9)  # moto has all of them begin in 2010
    assert len(s3.names("aside/")) == 4
    abandon(storage, seconds=-60)
    assert len(s3.names("aside/")) == 3
    begun.drop()
    for job_id in (kept, lost, other):
        storage.delete(job_id)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"STORAGE_URL": "s3://elsewhere/jobs"}, looked_at.NO_BUCKET),
        ({"AWS_SECRET_ACCESS_KEY": "not-the-secret"}, looked_at.REFUSED.format("PutObject", "SignatureDoesNotMatch")),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, looked_at.REFUSED.format("PutObject", "InvalidAccessKeyId")),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, looked_at.NO_KEY),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, looked_at.AWAY),
        ({}, None),
    ],
)
def test_what_is_set_wrongly_is_said_in_a_sentence(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], sentence: str | None
) -> None:
    here(s3, monkeypatch, **wrong)
    url = wrong.get("STORAGE_URL", s3.env["STORAGE_URL"])
    settings = Settings(_env_file=None, storage_url=url, database_url="postgresql+psycopg://host/name")  # type: ignore[call-arg]
    assert looked_at.storage_trouble(settings) == sentence
    if sentence is not None:
        storage = Storage(url)
        for use in (lambda: storage.create("job", "source").keep(), lambda: storage.read("job", "source")):
            with pytest.raises(StorageAway):
                use()
        with pytest.raises(StorageAway):
            storage.check()


def test_operators_are_told_to_allow_what_is_done_and_no_more(s3: S3Server) -> None:
    allowed = json.loads((ROOT / "deploy" / "s3" / "policy.json").read_text())["Statement"]
    named = {right for statement in allowed for right in statement["Action"]}
    asked = [(method, address) for method, address, _ in s3.requests() if address.startswith(f"/{BUCKET}")]
    # The first made the bucket, and the tests themselves look at nothing that Longhand would not.
    assert {f"s3:{action(*one)}" for one in asked[1:]} == named


def action(method: str, address: str) -> str:
    """What IAM calls a request."""
    path, _, query = address.partition("?")
    if path.count("/") == 1:
        whole = "ListBucketMultipartUploads" if query.startswith("uploads") else "ListBucket"
        return "DeleteObject" if method == "POST" and query.startswith("delete") else whole
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId=" in query else "DeleteObject"
    return "PutObject" if method in {"PUT", "POST"} else "GetObject"


def test_settings_name_the_region_as_either_of_amazons_tools_do(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = here(s3, monkeypatch)
    assert storage.s3 is not None
    assert storage.s3.client_kwargs == {"region_name": REGION}
