"""A web process that is killed while it accepts a request leaves all of its jobs or none, and they are made once."""

import io
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from store import acceptance, idempotency, jobs, standing
from store.acceptance import HeldKey, KeyTaken, Planned, Refusal
from store.models import IdempotencyKey
from tasks.flow import QueueUnavailable
from tests.unit.webapp.conftest import AUTH, SOUND, files_of
from webapp.access.auth import OWNER
from webapp.services import Services

COUNT = 4
_KILLED = """
import io, os, signal, sys
from pathlib import Path
from celery import signals
from sqlalchemy import event
from config.settings import Settings
from tests.unit.webapp.test_acceptance import post
from webapp import create_app

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

folder, redis_url, key, where = sys.argv[1:]
app = create_app(Settings(_env_file=None, data_dir=folder, redis_url=redis_url, api_key=key, whisper_models=["demo"]))
if where == "written":
    @event.listens_for(app.extensions["longhand"].store.database.engine, "after_cursor_execute")
    def look(connection, cursor, statement, *_):
        if statement.startswith("INSERT INTO steps"):
            die()
else:
    waiting = [0, 1] if where == "second message" else [0]
    signals.after_task_publish.connect(lambda **_: waiting.pop() or die(), weak=False)
post(app.test_client(), "k")
"""


def post(client: FlaskClient, key: str) -> TestResponse:
    """A batch, the last of it empty."""
    sounds = [SOUND + bytes([n]) for n in range(COUNT - 1)] + [b""]
    files = [(io.BytesIO(sound), f"{n}.mp3") for n, sound in enumerate(sounds)]
    headers = {**AUTH, "Idempotency-Key": key}
    return client.post("/v1/jobs", headers=headers, data={"file": files}, content_type="multipart/form-data")


@pytest.mark.parametrize("where", ["written", "first message", "second message"])
def test_a_killed_process_leaves_all_or_nothing(
    where: str, client: FlaskClient, services: Services, tmp_path: Path
) -> None:
    settings = services.settings
    assert settings.api_key is not None
    arguments = [str(tmp_path / "data"), settings.redis_url, settings.api_key.get_secret_value(), where]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False, timeout=60)
    assert killed.returncode == -9
    left = client.get("/v1/jobs", headers=AUTH).json["jobs"]
    assert len(left) == (0 if where == "written" else COUNT)
    if where == "written":  # the next with the key takes its place, in time
        with services.store.database.write() as session:
            long_ago = jobs.now() - timedelta(seconds=idempotency.STUCK_SECONDS + 1)
            session.execute(update(IdempotencyKey).values(created_at=long_ago))
    again = post(client, "k")
    assert (again.status_code, "Idempotency-Replayed" in again.headers) == (202, where != "written")
    assert [job["source"]["name"] for job in again.json["jobs"]] == [f"{n}.mp3" for n in range(COUNT)]
    assert [job["status"] for job in again.json["jobs"]] == ["queued"] * (COUNT - 1) + ["failed"]
    assert len(client.get("/v1/jobs", headers=AUTH).json["jobs"]) == COUNT
    # Upkeep finds what was not queued, a little later.
    assert len(standing.standing(services.store.database, seconds=-1)) == COUNT - 1


def test_what_cannot_be_queued_after_all_is_accepted(
    client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise QueueUnavailable

    monkeypatch.setattr(type(services.flow), "submit", down)
    made = post(client, "k")
    assert (made.status_code, len(made.json["jobs"])) == (202, COUNT)
    ids = {job["id"] for job in made.json["jobs"]}
    assert {f"{job_id}/source" for job_id in ids} <= files_of(services)
    assert post(client, "k").json["batch"] == made.json["batch"]


def test_who_lost_the_key_makes_nothing(services: Services) -> None:
    database = services.store.database
    mine, theirs = "1" * 32, "2" * 32
    new = jobs.NewJob(mine, OWNER, {}, ["normalise"], "a.mp3", 1, "")
    asked = {"owner": OWNER, "fingerprint": "f", "batch": None, "jobs": 1}
    assert idempotency.claim(database, "k", job_id=theirs, **asked) is None
    with pytest.raises(KeyTaken):
        acceptance.accept(database, [Planned(new)], key=HeldKey("k", OWNER, mine))
    assert jobs.get(database, mine) is None
    made = acceptance.accept(database, [Planned(new, refusal=Refusal("no_audio", "Nothing to hear."))])
    job = jobs.get(database, mine)
    assert job is not None and job.error is not None
    assert (made[0].id, job.status, job.error["code"], job.steps[0].status) == (mine, "failed", "no_audio", "cancelled")
