"""The containers for real: built, started, a job sent through them, a worker killed, everything stopped and started.

It takes a Docker engine with Compose, and some minutes. Where no registry can be reached: PYTHON_IMAGE and CADDY_IMAGE
name other images, LONGHAND_TEST_DEBIAN_REDIS and LONGHAND_TEST_DEBIAN_POSTGRES a Debian with these servers in it, and
LONGHAND_TEST_BUILD_NETWORK=host the network that packages are fetched through.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack import ROOT, free_port, until

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(1200)]

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
SERVICES = {"web", "cpu", "net", "gpu", "beat", "flower", "redis", "postgres"}
OPTIONS = {"chunk_seconds": "30", "formats": "srt,vtt", "temperature": "0"}
OVER = {"done", "failed", "cancelled"}


def docker(*words: str, check: bool = True) -> str:
    """What a docker command says, on both channels."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0 or not check, f"docker {' '.join(words)}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def lacking() -> str | None:
    """Why nothing can be tried here; None: it can."""
    if shutil.which("docker") is None or "Server Version" not in docker("info", check=False):
        return "no Docker engine answers: start one"
    for plugin in ("compose", "buildx"):
        if subprocess.run(["docker", plugin, "version"], capture_output=True, timeout=60).returncode:
            return f"docker {plugin} is not installed"
    return None


class Installation:
    """A checkout of its own with containers, volumes, networks, images and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"longhand-test-{os.getpid()}"
        self.port, self.flower_port = free_port(), free_port()
        kept = {"PATH", "HOME", "DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT"}
        images = {"PYTHON_IMAGE", "REDIS_IMAGE", "POSTGRES_IMAGE", "CADDY_IMAGE"}
        self.env = {name: value for name, value in os.environ.items() if name in kept | images}
        self.env |= {
            "COMPOSE_PROJECT_NAME": self.name, "IMAGE_PREFIX": self.name, "IMAGE_TAG": "test",
            "BIND_PORT": str(self.port), "FLOWER_PORT": str(self.flower_port), "WHISPER_MODELS": "demo",
        }  # fmt: skip
        self.copy()

    def copy(self) -> None:
        """The files that a checkout has."""
        for name in ("cli", "config", "deploy", "models/demo", "pipelines", "requirements", "store", "tasks", "webapp"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Dockerfile", ".dockerignore", "docker-compose.yml", "pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, self.folder)
        if network := os.environ.get("LONGHAND_TEST_BUILD_NETWORK"):
            built = ("web", "beat", "flower", "migrate", "cpu", "net", "gpu", "proxy")
            lines = [f"  {name}: {{build: {{context: ., network: {network}}}}}\n" for name in built]
            (self.folder / "docker-compose.override.yml").write_text("services:\n" + "".join(lines))

    def secrets(self) -> None:
        subprocess.run(["sh", "deploy/secrets.sh"], cwd=self.folder, check=True, capture_output=True, timeout=20)

    def stand_ins(self) -> None:
        """Images of Redis and PostgreSQL made of Debian's packages, if asked for."""
        for name in ("redis", "postgres"):
            if debian := os.environ.get(f"LONGHAND_TEST_DEBIAN_{name.upper()}"):
                image = f"{self.name}-{name}:test"
                target = ["--build-arg", f"{name.upper()}_DEBIAN={debian}", "--target", name, "-t", image]
                docker("build", *target, str(ROOT / "tests" / "containers"))
                self.env[f"{name.upper()}_IMAGE"] = image

    def compose(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["docker", "compose", *words], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=1100
        )
        assert done.returncode == 0 or not check, f"{words}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done

    def containers(self, service: str | None = None, *, ended: bool = False) -> dict[str, dict[str, Any]]:
        """What the engine says of each container, by its id."""
        labels = {"project": self.name} | ({"service": service} if service else {})
        chosen = [part for name, value in labels.items() for part in ("-f", f"label=com.docker.compose.{name}={value}")]
        ids = docker("ps", "-q", *(["-a"] if ended else []), *chosen).split()
        return {one["Id"]: one for one in json.loads(docker("inspect", *ids))} if ids else {}

    def within(self, service: str, *command: str) -> str:
        """What a command says in a service's container."""
        return docker("exec", next(iter(self.containers(service))), *command, check=False)

    def up(self, *words: str) -> None:
        self.compose("up", "-d", *words)
        until(self.healthy, 180, "all containers to be healthy", every=1)

    def healthy(self) -> bool:
        found = self.containers()
        states = {one["Config"]["Labels"]["com.docker.compose.service"]: one["State"] for one in found.values()}
        return set(states) >= SERVICES and all(
            one["State"].get("Health", {}).get("Status") == "healthy" for one in found.values()
        )

    @property
    def client(self) -> httpx.Client:
        key = (self.folder / "secrets" / "api_key").read_text().strip()
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=120, headers={"Authorization": f"Bearer {key}"}
        )

    def post(self, path: Path) -> str:
        with self.client as client, path.open("rb") as file:
            answer = client.post("/v1/jobs", files={"file": (path.name, file)}, data=OPTIONS)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

    def job(self, job_id: str, *, wait: int = 0) -> dict[str, Any]:
        with self.client as client:
            answer: dict[str, Any] = client.get(f"/v1/jobs/{job_id}", params={"wait": wait}).raise_for_status().json()
            return answer

    def ended(self, job_id: str) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            job = self.job(job_id, wait=10)
            return job if job["status"] in OVER else None

        found: dict[str, Any] = until(over, 240, f"job {job_id} to end")
        assert found["status"] == "done", (found["error"], self.compose("logs", "cpu", "gpu").stdout[-4000:])
        return found

    def texts(self, job_id: str) -> tuple[str, ...]:
        """The transcript and the subtitles."""
        with self.client as client:
            address = f"/v1/jobs/{job_id}/transcript"
            return tuple(client.get(address + end).raise_for_status().text for end in (".txt", ".srt", ".vtt"))

    def step(self, job_id: str, stage: str) -> dict[str, Any]:
        return next((step for step in self.job(job_id)["steps"] if step["stage"] == stage), {"done": 0, "attempts": 0})

    def secret_values(self) -> list[str]:
        values = [path.read_text().strip() for path in (self.folder / "secrets").iterdir()]
        return [value for value in values if value]

    def close(self) -> None:
        self.compose("--profile", "*", "down", "-v", "--remove-orphans", "-t", "1", check=False)
        # By name: an image of somebody else may be the same one.
        named = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={self.name}-*").split()
        if named:
            docker("rmi", *named, check=False)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Everything built and running, with two workers that have models."""
    if (why := lacking()) is not None:
        pytest.skip(why)
    installation = Installation(tmp_path_factory.mktemp("compose"))
    try:
        installation.stand_ins()
        refused = installation.compose("up", "-d", check=False)
        assert refused.returncode != 0 and "make secrets" in refused.stderr, "nothing starts without secrets"
        installation.secrets()
        installation.compose("build")
        yield installation
    finally:
        installation.close()


@pytest.fixture(scope="module")
def running(installation: Installation) -> Installation:
    installation.env["MODELS_ON_CPU"] = "2"
    installation.up()
    return installation


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve minutes in many chunks, so that there is a middle of the work."""
    from tests import recordings

    return recordings.recording(60, seed=6).write(tmp_path_factory.mktemp("talk") / "talk.wav", times=12)


@pytest.mark.parametrize(("secret", "name"), [("api_key", "API_KEY"), ("redis_url", "REDIS_URL")])
def test_a_placeholder_keeps_everything_from_starting(installation: Installation, secret: str, name: str) -> None:
    path = installation.folder / "secrets" / secret
    kept = path.read_text()
    path.write_text("redis://:change-me@redis:6379/0\n" if secret == "redis_url" else "change-me\n")
    try:
        refused = installation.compose("up", "-d", "web", check=False)
        said = docker("logs", next(iter(installation.containers("migrate", ended=True))))
        assert said.strip().splitlines() == [
            f"The settings are not valid. {name} is still a placeholder: "
            "make one of your own, as `openssl rand -hex 24` does."
        ]
        assert refused.returncode != 0 and not installation.containers("web")
    finally:
        path.write_text(kept)
        installation.compose("down")


def test_a_job_goes_through(running: Installation) -> None:
    job_id = running.post(SAMPLE)
    running.ended(job_id)
    text, srt, vtt = running.texts(job_id)
    assert "My name is Martin and I work in Vienna." in " ".join(text.split())
    assert srt.startswith("1\n00:00:0") and vtt.startswith("WEBVTT")


def test_no_container_may_do_what_it_need_not(running: Installation) -> None:
    secrets = running.secret_values()
    for one in running.containers(ended=True).values():
        host, name = one["HostConfig"], one["Name"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"], name
        assert "no-new-privileges:true" in host["SecurityOpt"] and host["Memory"] and host["PidsLimit"], name
        assert one["Config"]["User"] not in {"", "0", "root"}, name
        told = json.dumps([one["Config"], one["Args"], one["Path"]])
        assert not [secret for secret in secrets if secret in told], f"{name} is told a secret outside its files"
        for binding in (one["NetworkSettings"]["Ports"] or {}).values():
            assert {address["HostIp"] for address in binding or []} <= {"127.0.0.1"}, name
    logs = running.compose("logs").stdout
    assert "ready." in logs and not [secret for secret in secrets if secret in logs]


def test_what_ffmpeg_is_denied_it_is_denied_in_a_container(running: Installation) -> None:
    program = (
        "from pipelines.media.process import Bounds, run\n"
        "told = []\n"
        "run(['sh', '-c', 'cat /proc/self/limits /proc/self/status; env; touch /app/x /data/x'], on_output=told.append,"
        " bounds=Bounds(seconds=20, file_bytes=4096), on_error=told.append, tick=lambda pid: None)\n"
        "print(*(' '.join(line.split()) for line in told), sep='\\n')\n"
        "import socket\n"
        "try: print('reached', socket.create_connection(('192.0.2.1', 80), 3))\n"
        "except OSError as error: print('no way out')\n"
    )
    said = running.within("cpu", "python", "-c", program).splitlines()
    assert "Max file size 4096 4096 bytes" in said and "Max open files 64 64 files" in said
    assert "Max address space 2147483648 2147483648 bytes" in said and "NoNewPrivs: 1" in said
    assert "CapEff: 0000000000000000" in said and "CapBnd: 0000000000000000" in said
    assert {line.partition("=")[0] for line in said if "=" in line} <= {"PATH", "TMPDIR", "LC_ALL", "PWD"}
    assert "touch: cannot touch '/app/x': Read-only file system" in said
    assert "no way out" in said
    running.within("cpu", "rm", "/data/x")


def test_the_small_image_is_without_models_libraries(running: Installation) -> None:
    for module in ("numpy", "ctranslate2", "onnxruntime", "av", "imageio_ffmpeg", "pip"):
        assert f"No module named '{module}'" in running.within("web", "python", "-c", f"import {module}"), module
    for module in ("psycopg", "s3fs"):
        for service in ("web", "cpu"):
            assert running.within(service, "python", "-c", f"import {module}") == ""
    for service, most in (("web", 150), ("cpu", 800)):
        megabytes = int(running.within(service, "du", "-sm", "/opt/longhand").split()[0])
        assert megabytes < most, f"the packages of {service} take {megabytes} MB"


def test_flower_asks_for_its_password(running: Installation) -> None:
    password = (running.folder / "secrets" / "flower_password").read_text().strip()
    address = f"http://127.0.0.1:{running.flower_port}"
    assert httpx.get(f"{address}/workers").status_code == 401
    assert httpx.get(f"{address}/workers", auth=("longhand", "change-me")).status_code == 401
    assert httpx.get(f"{address}/workers", auth=("longhand", password)).status_code == 200


def test_the_proxy_serves_https_and_keeps_the_figures_to_itself(running: Installation) -> None:
    if "PYTHON_IMAGE" in running.env and "CADDY_IMAGE" not in running.env:
        pytest.skip("needs an image with Caddy: set CADDY_IMAGE")
    http, https = free_port(), free_port()
    running.env |= {"HTTP_PORT": str(http), "HTTPS_PORT": str(https), "TRUSTED_PROXIES": "1"}
    running.env["PUBLIC_URL"] = f"https://localhost:{https}"
    running.compose("--profile", "tls", "up", "-d", "--build", "web", "proxy")
    until(running.healthy, 120, "all containers to be healthy", every=1)
    key = running.client.headers["Authorization"]
    # Its certificate is one of its own for a name like this.
    with httpx.Client(base_url=f"https://localhost:{https}", verify=False, headers={"Authorization": key}) as client:
        job = client.post("/v1/jobs", files={"file": ("a.flac", SAMPLE.read_bytes())}).json()
        assert job["links"]["self"].startswith(f"https://localhost:{https}/")
        for path in ("/metrics", "/metrics/", "/%6detrics", "/x/../metrics"):
            assert client.get(path).status_code == 404, path
        assert client.get("/health/live").headers["Strict-Transport-Security"]
    assert httpx.get(f"http://localhost:{http}/").headers["Location"].startswith("https://localhost")
    running.ended(job["id"])
    running.compose("--profile", "tls", "rm", "-sf", "proxy")


def test_a_job_whose_worker_is_killed_ends_as_if_nothing_had_happened(running: Installation, talk: Path) -> None:
    undisturbed = running.post(talk)
    running.ended(undisturbed)
    job_id = running.post(talk)
    until(lambda: running.step(job_id, "transcribe")["done"] >= 2, 120, "the middle of the work")
    killed = next(iter(running.containers("gpu")))
    docker("kill", killed)
    assert running.job(job_id)["status"] == "running"
    running.ended(job_id)
    assert running.step(job_id, "transcribe")["attempts"] == 2, "what the killed one had was done again"
    assert running.texts(job_id) == running.texts(undisturbed)


def test_what_was_stopped_goes_on_when_it_is_started_again(running: Installation, talk: Path) -> None:
    before = running.post(SAMPLE)
    running.ended(before)
    texts = running.texts(before)
    under_way = running.post(talk)
    until(lambda: running.step(under_way, "transcribe")["done"] >= 1, 120, "the middle of the work")
    began = time.monotonic()
    running.compose("stop")
    assert time.monotonic() - began < 45
    codes = {
        one["Config"]["Labels"]["com.docker.compose.service"]: one["State"]["ExitCode"]
        for one in running.containers(ended=True).values()
    }
    # The worker that was killed before is one of them; nobody else had to be.
    assert {name for name, code in codes.items() if code == 137} <= {"gpu"}, codes
    running.compose("down")
    assert not running.containers(ended=True)
    running.up()
    assert running.job(before)["status"] == "done" and running.texts(before) == texts
    running.ended(under_way)
    after = running.post(SAMPLE)
    running.ended(after)
    with running.client as client:
        assert client.get("/metrics").status_code == 200
    with contextlib.closing(httpx.Client()) as anybody:
        assert anybody.get(f"http://127.0.0.1:{running.port}/metrics").status_code == 401
