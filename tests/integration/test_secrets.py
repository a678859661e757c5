"""No secret in any log, in what Flower shows, in an answer or a command line; and each line of a log is one object."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest
import redis

from tests.stack import KEY, ROOT, WEBHOOK_SECRET, RedisServer, Stack, free_port, redis_executable, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
REDIS_PASSWORD = "redis-password-of-this-test"
DATABASE_PASSWORD = "database-password-of-this-test"
HUB_TOKEN = "hf_token-of-this-test"
WRONG = "lh-wrong-but-nearly-right-0123456789abcdef"
MISPLACED = "key-in-the-wrong-place"
SIGNATURE = "signature-of-an-address"


class LockedRedis(RedisServer):
    """One that wants a password, on a port, as an operator's own does."""

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        told = f"port {self.port}\nbind 127.0.0.1\nrequirepass {REDIS_PASSWORD}\ndir {self.folder}\nsave ''\n"
        command = [redis_executable(), "-"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.PIPE)
        assert self.process.stdin is not None
        self.process.stdin.write(told.encode())
        self.process.stdin.close()
        with redis.Redis.from_url(self.url) as client:
            until(lambda: client.info("server")["process_id"] == self.process.pid, 60, "Redis", (redis.RedisError,))
        return self


class LockedStack(Stack):
    """A stack at DEBUG, for machines, with secrets wherever there can be one."""

    def __init__(self, folder: Path, **env: str) -> None:
        server = LockedRedis()
        # SQLite takes no password; the processes must keep it for themselves all the same.
        database = f"sqlite:///{folder / 'data' / 'longhand.db'}"
        settings = {
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "json",
            "REDIS_URL": server.url,
            "DATABASE_URL": database,
            "HF_TOKEN": HUB_TOKEN,
        }
        super().__init__(folder, cpu_children=1, net_threads=4, beat=True, flower=True, **settings, **env)
        self.redis.close()
        self.redis = server


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedStack]:
    with LockedStack(tmp_path_factory.mktemp("loud"), PGPASSWORD=DATABASE_PASSWORD) as running:
        yield running


def raw(port: int, *lines: bytes) -> bytes:
    """What a request that is none is answered."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"\r\n".join((*lines, b"", b"")))
        return b"".join(iter(lambda: connection.recv(65536), b""))


def flowers(stack: Stack, marks: str) -> str:
    """Everything that Flower knows, once it knows of something."""
    told: dict[str, str] = {}
    with httpx.Client(
        base_url=f"http://127.0.0.1:{stack.flower_port}",
        trust_env=False,
        timeout=30,
        auth=("longhand", "flower-password"),
    ) as flower:
        until(lambda: marks in flower.get("/api/tasks").text, 30, "Flower", (httpx.HTTPError,))
        assert flower.get("/api/tasks", auth=("longhand", MISPLACED)).status_code == 401
        for path in ("/", "/api/tasks", "/api/workers?refresh=1", "/metrics", "/broker", "/api/queues/length"):
            told[path] = flower.get(path).text
        for task in json.loads(told["/api/tasks"]):
            told[task] = flower.get(f"/api/task/info/{task}").text
        for worker in json.loads(told["/api/workers?refresh=1"]):
            told[worker] = flower.get(f"/worker/{worker}").text  # with the configuration of the worker
    assert len(told) > 10
    return "\n".join(told.values())


def use(stack: LockedStack) -> tuple[list[str], dict[str, str], str]:
    """Keys in every place, right and wrong; the answers, the secrets that were made on the way, and a job."""
    made = stack.client.post("/v1/keys", json={"name": "Ada"}).json()
    extra = {"key": made["key"], "webhook secret": made["webhook_secret"]}
    answers: list[str] = []

    def ask(method: str, path: str, **more: Any) -> httpx.Response:
        with httpx.Client(base_url=str(stack.client.base_url), trust_env=False, timeout=60) as client:
            answer = client.request(method, path, **more)
        answers.append(f"{answer.headers} {answer.text}")
        return answer

    for key, status in ((KEY, 200), (made["key"], 200), (WRONG, 403)):
        for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": key}, {"X-API-Key": key}):
            assert ask("GET", "/v1/jobs", headers=headers).status_code == status
    for path in (f"/v1/jobs?api_key={KEY}", f"/v1/jobs?key={made['key']}", f"/v1/jobs?token={MISPLACED}"):
        assert ask("GET", path).status_code == 401
    assert ask("GET", f"/v1/jobs/{KEY}", headers={"X-API-Key": KEY}).status_code == 404
    assert ask("GET", "/v1/jobs", headers={"Authorization": f"Bearer {KEY}", "X-API-Key": WRONG}).status_code == 403
    address = f"https://127.0.0.1:1/talk.mp3?X-Amz-Signature={SIGNATURE}"
    assert ask("POST", "/v1/jobs", headers={"X-API-Key": KEY}, data={"url": address}).status_code == 400
    with SAMPLE.open("rb") as file:
        job = ask("POST", "/v1/jobs", headers={"X-API-Key": made["key"]}, files={"file": file}).json()
    ticket = stack.client.post(f"/v1/jobs/{job['id']}/audio/ticket").headers["Set-Cookie"]
    extra["ticket"] = ticket.split("=", 1)[1].split(";")[0]
    cookie = {"Cookie": f"longhand-ticket={extra['ticket']}"}
    assert ask("GET", f"/v1/jobs/{job['id']}/audio", headers=cookie | {"Range": "bytes=0-1"}).status_code == 206
    assert ask("GET", "/metrics", headers={"X-API-Key": KEY}).is_success and ask("GET", "/health").is_success
    for bad in (b"Authorization: Bearer %b\x01x", b"X-API-Key : %b", b" folded %b", b"%b"):
        refused = raw(stack.port, b"GET /v1/jobs HTTP/1.1", b"Host: x", bad % KEY.encode()).decode()
        assert refused.startswith("HTTP/1.1 400") and "nosniff" in refused and "problem+json" in refused
        answers.append(refused)
    answers.append(raw(stack.port, b"%b" % KEY.encode()).decode())
    assert stack.wait(job["id"])["status"] == "done"
    return answers, extra, job["id"]


def test_secrets_stay_secret(loud: LockedStack) -> None:
    answers, extra, job_id = use(loud)
    secrets = extra | {
        "API_KEY": KEY,
        "WEBHOOK_SECRET": WEBHOOK_SECRET,
        "Flower's password": "flower-password",
        "Redis's password": REDIS_PASSWORD,
        "the database's password": DATABASE_PASSWORD,
        "the hub's token": HUB_TOKEN,
        "a wrong key": WRONG,
        "a key in the address": MISPLACED,
        "a signature": SIGNATURE,
    }
    commands = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            commands.append(" ".join(process.cmdline()))
    assert any("redis" in command for command in commands) and any("gunicorn" in command for command in commands)
    places = {
        "an answer": "\n".join(answers),
        "a command line": "\n".join(commands),
        "what Flower shows": flowers(loud, job_id),
        **{f"the log of {name}": loud.log(name) for name in loud.processes},
    }
    for name in ("web", "cpu", "gpu1", "net"):
        assert "debug" in places[f"the log of {name}"].lower(), f"{name} did not log at DEBUG"
    assert "/v1/jobs?" in places["the log of web"]  # there is an access log to look at
    found = [
        f"{what} in {where}" for where, text in places.items() for what, secret in secrets.items() if secret in text
    ]
    assert found == []


def lines(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    """The logs by process; whatever is no JSON object is an error."""
    return {name: [json.loads(line) for line in stack.log(name).splitlines() if line] for name in stack.processes}


def test_every_line_is_an_object_and_a_request_is_found_in_all_processes(loud: LockedStack) -> None:
    names = {"file": ("Notes on Ada's divorce.flac", SAMPLE.read_bytes())}
    sent = {"request_id": "request-of-this-test"}
    options = {"language": "en", "metadata": '{"who": "Grace"}'}
    job = loud.client.post("/v1/jobs", files=names, data=options, headers={"X-Request-ID": sent["request_id"]}).json()
    assert loud.wait(job["id"])["status"] == "done"
    words = loud.transcript(job["id"])["text"].split(".")[0]
    logs = lines(loud)
    assert all({"event", "level", "timestamp", "logger"} <= line.keys() for log in logs.values() for line in log)
    whole = json.dumps(logs, ensure_ascii=False)
    assert "divorce" not in whole and words not in whole and "Grace" not in whole

    found = {name: [line for line in log if sent.items() <= line.items()] for name, log in logs.items()}
    accepted = next(line for line in found["web"] if line["event"] == "jobs accepted")
    assert accepted["jobs"] == job["id"] and accepted["account"] == "admin"
    assert {line["job"] for name in ("cpu", "gpu1") for line in found[name]} == {job["id"]}
    ends = [line for line in (*found["cpu"], *found["gpu1"]) if line["event"] == "work ends"]
    begins = [line for line in (*found["cpu"], *found["gpu1"]) if line["event"] == "work begins"]
    pieces = {(line["stage"], line.get("chunk"), line["worker"]) for line in ends}
    assert pieces == {(line["stage"], line.get("chunk"), line["worker"]) for line in begins}
    on_cpu = {(stage, None, "cpu@test") for stage in ("normalise", "chunk", "merge")}
    assert on_cpu | {("transcribe", 0, "gpu1@test")} <= pieces
    assert all(line["outcome"] == "done" and line["seconds"] >= 0 and line["attempt"] == 1 for line in ends)
    assert all(line["waited_seconds"] >= 0 for line in begins)

    [end] = [line for line in found["cpu"] if line["event"] == "job ended"]
    assert (end["job"], end["outcome"], end["account"], end["language"]) == (job["id"], "done", "admin", "en")
    assert (end["model"], end["chunks"], end["restarts"], end["task"]) == ("demo", 1, 0, "job.finish")
    assert end["audio_seconds"] > 1 and end["real_time_factor"] > 0
    assert 0 <= end["queued_seconds"] <= end["waiting_seconds"] <= end["latency_seconds"]
    assert {"normalise", "chunk", "transcribe", "merge"} <= end["stage_seconds"].keys()
    assert end["work_seconds"] == pytest.approx(sum(end["stage_seconds"].values()), abs=0.01)
    assert not any("job" in line or "request_id" in line for line in logs["cpu"] if line.get("task") == "job.upkeep")


def test_processes_that_end_say_so_in_lines_of_the_log(loud: LockedStack) -> None:
    for name in ("cpu", "net", "beat", "flower", "web"):
        loud.processes[name].terminate()
        loud.processes[name].wait(30)
    logs = lines(loud)
    assert any(line["event"].startswith("worker: Warm shutdown") for line in logs["cpu"])
