"""Two machines with nothing in common but a network work on one job: its files are on S3."""

import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from store.database import Database
from store.models import WHOLE, Step
from tests import recordings
from tests.hosts import Host, Hub, hosts_lack
from tests.postgres_server import PostgresServer
from tests.s3_server import S3Server, s3_lacks
from tests.stack import ROOT, Stack, until

CHUNKS = 6
OPTIONS: dict[str, Any] = {"chunk_seconds": 30, "temperature": 0.0}

pytestmark = pytest.mark.skipif(bool(hosts_lack() or s3_lacks()), reason=hosts_lack() or s3_lacks() or "")


class Spread(Stack):
    """An installation whose models are on two other machines."""

    def __init__(self, folder: Path, hub: Hub, s3: S3Server, database: str, postgres: PostgresServer) -> None:
        env = {
            "DATABASE_URL": database, "UPKEEP_SECONDS": "2", "VISIBILITY_TIMEOUT_SECONDS": "4",
            "LEASE_RENEWAL_SECONDS": "1", "PLUGINS": str(ROOT / "tests" / "plugins"), "WHISPER_ENGINE": "slow",
            "LONGHAND_TEST_SLOW": "1", "WHISPER_CPU_THREADS": "1", **s3.env,
        }  # fmt: skip
        super().__init__(folder, gpu_workers=0, cpu_children=1, net_threads=2, beat=True, **env)
        self.hub, self.s3, self.postgres = hub, s3, postgres
        self.hosts: list[Host] = []

    def wait_ready(self, seconds: float = 90) -> None:
        disk = self.folder.parent / "disk"
        disk.mkdir()
        name = self.env["DATABASE_URL"].partition("?")[0].rpartition("/")[2]
        reached = {
            "REDIS_URL": f"redis://{self.hub.offer('redis', self.redis.socket)}/0",
            "DATABASE_URL": "postgresql+psycopg://longhand@"
            f"{self.hub.offer('postgres', self.postgres.folder / '.s.PGSQL.5432')}/{name}",
            "AWS_ENDPOINT_URL": f"http://{self.hub.offer('s3', self.s3.port)}",
            "DATA_DIR": str(disk / "data"),
            "HOME": str(disk),
            "LONGHAND_TEST_SLOW_LOG": str(disk / "slow"),
        }
        hidden = [self.folder, self.redis.folder, self.postgres.folder, self.s3.folder]
        for number in (1, 2):
            host = Host(self.hub, number, disk=disk, hidden=hidden)
            self.hosts.append(host)
            log = self.folder.parent / f"host{number}.log"
            host.start_worker(f"gpu@host{number}", "gpu", env=self.env | reached, log=log)
        super().wait_ready(seconds)

    def both_there(self) -> bool:
        """Whether each has a model in memory."""
        return re.search(r"longhand_models_loaded\{.*\} 2\.0", self.client.get("/metrics").text) is not None

    def close(self) -> None:
        for host in self.hosts:
            if host.on:
                host.kill()
        super().close()


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, record: Database) -> Iterator[Spread]:
    folder = tmp_path_factory.mktemp("spread") / "stack"
    folder.mkdir()
    s3 = S3Server()
    try:
        with Hub() as hub, Spread(folder, hub, s3.start(), record.url, postgres) as running:
            until(running.both_there, 60, "both machines")
            yield running
    finally:
        s3.close()


@pytest.fixture(scope="module")
def long_talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talk")
    recordings.recording(30, seed=7).write(folder / "part.wav")
    with wave.open(str(folder / "part.wav")) as part, wave.open(str(folder / "talk.wav"), "wb") as whole:
        whole.setparams(part.getparams())
        whole.writeframes(part.readframes(part.getnframes()) * CHUNKS)
    return folder / "talk.wav"


def chunks(record: Database, job_id: str) -> list[Step]:
    with record.read() as session:
        query = select(Step).where(Step.job_id == job_id, Step.stage == "transcribe", Step.item != WHOLE)
        return list(session.scalars(query).all())


def test_neither_sees_what_the_other_or_we_keep(spread: Spread) -> None:
    one, other = spread.hosts
    one.run("sh", "-c", f"echo mine > {one.disk}/mine")
    assert one.run("cat", f"{one.disk}/mine").stdout == "mine\n"
    assert not (one.disk / "mine").exists()
    assert other.run("cat", f"{other.disk}/mine", check=False).returncode != 0
    for host in spread.hosts:
        for folder in (spread.folder, spread.redis.folder, spread.postgres.folder, spread.s3.folder):
            assert host.run("ls", "-A", str(folder)).stdout == ""
        assert "eth0" in host.run("ip", "-o", "link").stdout
        assert "default" not in host.run("ip", "route").stdout, "there is no way anywhere else"


def test_a_job_of_both_ends_although_one_of_them_dies(spread: Spread, record: Database, long_talk: Path) -> None:
    undisturbed = spread.run(long_talk, **OPTIONS)
    assert undisturbed["status"] == "done", undisturbed
    found = chunks(record, undisturbed["id"])
    assert {chunk.worker for chunk in found} == {"gpu@host1", "gpu@host2"} and len(found) >= CHUNKS - 1
    assert all(chunk.attempts == 1 for chunk in found)
    addresses = {host.address for host in spread.hosts}
    assert spread.hub.seen == {"redis": addresses, "postgres": addresses, "s3": addresses}, "each came by the network"

    job_id = spread.post(long_talk, **OPTIONS)["id"]

    def busy() -> set[int]:
        """What host 1 is in the middle of, once both have done something."""
        now = chunks(record, job_id)
        done = {chunk.worker for chunk in now if chunk.status == "done"}
        mine = {chunk.item for chunk in now if chunk.status == "running" and chunk.worker == "gpu@host1"}
        return mine if len(done) == 2 else set()

    until(busy, 60, "both to be in the middle of it")
    spread.hosts[0].kill()
    ended = {chunk.item for chunk in chunks(record, job_id) if chunk.status == "done"}
    done = spread.wait(job_id)
    assert done["status"] == "done", done["error"]
    assert spread.transcript(job_id) == spread.transcript(undisturbed["id"])
    found = chunks(record, job_id)
    assert {chunk.worker for chunk in found if chunk.item not in ended} == {"gpu@host2"}
    again = sum(chunk.attempts - 1 for chunk in found)
    # On a machine with much to do, one that lives may for once be taken for dead, too.
    assert 1 <= again <= 2, "what the dead one had is done again, and what others had is not"
    for one in (job_id, undisturbed["id"]):
        assert spread.client.delete(f"/v1/jobs/{one}").status_code == 204
    assert spread.s3.names("jobs/") == []
