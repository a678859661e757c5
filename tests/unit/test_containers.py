"""What can be said of the containers without an engine: nothing is left open, and they run what `longhand up` runs."""

import configparser
import json
import re
import shlex
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.stack import SILENT, programs
from config.secret_files import SECRETS
from config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = {"web", "cpu", "net", "gpu", "cuda", "diarise", "beat", "flower", "migrate"}
OTHERS = {"redis", "postgres", "s3", "proxy", "prometheus", "grafana"}
BEGINNING = {None: {*OURS, "redis", "postgres"} - {"cuda", "diarise"}, "gpu": {"cuda"}, "diarise": {"diarise"},
             "tls": {"proxy"}, "s3": {"s3"}, "monitoring": {"prometheus", "grafana"}}  # fmt: skip


def filled(text: str) -> str:
    """With the defaults of what can be set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"name": request.param, **SERVICES[request.param]}


def test_each_profile_starts_what_it_should() -> None:
    found: dict[str | None, set[str]] = {}
    for name, service in SERVICES.items():
        found.setdefault(*service.get("profiles", [None]), set()).add(name)
    assert found == BEGINNING and set(SERVICES) == OURS | OTHERS


def test_a_service_may_do_nothing_it_need_not(service: dict[str, Any]) -> None:
    assert service["read_only"] is True and service["init"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if service["name"] == "migrate" else "unless-stopped")
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["mem_limit"] and service["pids_limit"]
    mounted = [volume.split(":")[0] for volume in service.get("volumes", [])]
    assert not [path for path in mounted if path.startswith(("/", "~", ".."))], "nothing of this machine is mounted"
    assert all(v.endswith(":ro") for v in service.get("volumes", []) if v.startswith("."))


def test_a_service_has_a_user_of_its_own(service: dict[str, Any]) -> None:
    if "build" in service:
        target = service["build"]["target"]
        stage = re.search(rf"^FROM \S+ AS {target}$(.*?)(?=^FROM|\Z)", DOCKERFILE, re.M | re.S)
        assert stage and re.search(r"^USER (longhand|10001:10001)$", stage.group(1), re.M)
        assert "user" not in service
    else:
        assert service["user"] in {"redis", "postgres", "nobody", "472:0"}


def test_a_service_is_watched_and_stopped_with_care(service: dict[str, Any]) -> None:
    if service["name"] == "migrate":
        assert "healthcheck" not in service, "it ends"
        return
    check = service["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"} and {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert service["stop_signal"] and service["stop_grace_period"]


def test_a_service_waits_for_what_it_needs(service: dict[str, Any]) -> None:
    waited = {name: how["condition"] for name, how in service.get("depends_on", {}).items()}
    assert all(
        how == ("service_completed_successfully" if name == "migrate" else "service_healthy")
        for name, how in waited.items()
    )
    if service["name"] in OURS - {"migrate"}:
        assert waited.keys() == {"redis", "postgres", "migrate"}


def test_a_secret_is_in_a_file_and_in_no_other_place(service: dict[str, Any]) -> None:
    given = service.get("environment", {})
    for name in given:
        assert name.lower() not in SECRETS, f"{name} belongs into {name}_FILE"
    files = {value.removeprefix("/run/secrets/") for value in given.values() if str(value).startswith("/run/secrets/")}
    assert files <= set(service.get("secrets", [])), "each file it is told of is there"
    if service["name"] in OURS:
        assert files == set(service["secrets"]), "and no other"
    assert "env_file" not in service


def test_who_reads_hostile_files_knows_little_and_reaches_nothing() -> None:
    assert SERVICES["cpu"]["networks"] == ["inner"] and COMPOSE["networks"]["inner"]["internal"] is True
    assert not {"api_key", "webhook_secret", "flower_password", "hf_token"} & set(SERVICES["cpu"]["secrets"])


def test_secrets_are_made_by_the_operator_or_nothing_starts() -> None:
    assert COMPOSE["secrets"]
    for name, secret in COMPOSE["secrets"].items():
        assert re.fullmatch(rf"\$\{{SECRETS_DIR:\?[^}}]*make secrets[^}}]*\}}/{name}", secret["file"])
    assert not re.search(r"change.?me|admin:admin|:-[^}]*(password|secret)", TEXT, re.I)


def test_only_the_proxy_is_open_to_the_network() -> None:
    published = {name: filled(" ".join(map(str, s["ports"]))) for name, s in SERVICES.items() if "ports" in s}
    assert published.keys() == {"web", "flower", "proxy", "prometheus", "grafana"}
    for name, ports in published.items():
        assert name == "proxy" or ports.startswith("127.0.0.1:"), f"{name} is open to the network"
    caddy = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text()
    assert "/metrics" in caddy and "respond @inner 404" in caddy and caddy.count("reverse_proxy") == 1


def test_they_run_what_longhand_up_runs() -> None:
    told = programs(Settings(_env_file=None), cpu_workers=2, gpu_workers=1, gpus=[], diarise=True)  # type: ignore[call-arg]
    for program in told:
        ours = shlex.split(filled(SERVICES["gpu" if program.name == "gpu1" else program.name]["command"]))
        theirs = [
            re.sub(r".*/(config/\w+\.py)$", r"\1", a) if "=" not in a else re.sub(r"=.*/(config/)", r"=\1", a)
            for a in program.arguments[1:]
        ]
        assert ours[0] == "python" and [a.replace("/tmp/", "") for a in ours[1:]] == theirs, program.name
        signal = SERVICES["gpu" if program.name == "gpu1" else program.name]["stop_signal"]
        # Nobody needs Flower's or beat's last breath.
        assert signal == f"SIG{program.stop_signal}"
    assert SERVICES["cuda"]["command"] == SERVICES["gpu"]["command"]


def test_every_setting_can_be_set() -> None:
    keeping = set(COMPOSE["x-keeping"])
    known = {name.upper() for name in Settings.model_fields}
    # Given by files, or decided by what the containers are.
    elsewhere = {name.upper() for name in SECRETS} | {"MODEL_CACHE", "ALIVE_FILE", "METRICS_API_URL"}
    assert keeping & known == known - elsewhere
    assert {name for name in keeping - known if not name.startswith("OTEL_")} == {
        "REDIS_URL_FILE", "DATABASE_URL_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL", "AWS_REGION",
        "AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE",
        "AWS_PROFILE", "HTTPS_PROXY", "NO_PROXY",
    }  # fmt: skip


def test_the_images_are_of_this_version_and_tell_nobody_anything() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"ARG VERSION={version}\n" in DOCKERFILE
    for name, value in SILENT.items():
        assert f"{name}={value}" in DOCKERFILE
    for name in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES"):
        assert SERVICES["grafana"]["environment"][f"GF_ANALYTICS_{name}"] == "false"


def test_a_build_is_sent_the_program_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert not [line for line in lines if line.startswith("!") and re.search("secret|data|env|git|test|docs", line)]


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                assert (ROOT / volume.split(":")[0]).is_dir()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "secrets.sh").write_bytes((ROOT / "deploy" / "secrets.sh").read_bytes())
    return tmp_path


def make(checkout: Path) -> str:
    command = ["sh", str(checkout / "deploy" / "secrets.sh")]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=True, timeout=20).stdout


def test_secrets_are_made_once_for_their_owner(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / ".env").write_text("WHISPER_MODELS=demo")  # without an end of line
    said = make(checkout)
    folder = checkout / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "nobody else gets in"
    assert {path.name for path in folder.iterdir()} == set(COMPOSE["secrets"]) | {"s3_credentials"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}, "containers' users read them"
    assert (checkout / ".env").read_text() == "WHISPER_MODELS=demo\nSECRETS_DIR=./secrets\n"
    contents = {path.name: path.read_text() for path in folder.iterdir()}
    assert not [value for value in contents.values() if len(value) > 20 and value.strip() in said]
    (folder / "hf_token").write_text("hf_of-mine\n")
    assert "nothing" in make(checkout)
    assert {path.name: path.read_text() for path in folder.iterdir()} == contents | {"hf_token": "hf_of-mine\n"}
    assert (checkout / ".env").read_text().count("SECRETS_DIR") == 1
    for name in SECRETS:
        monkeypatch.delenv(name.upper(), raising=False)
        if (folder / name).exists():
            monkeypatch.setenv(f"{name.upper()}_FILE", str(folder / name))
    monkeypatch.chdir(checkout)
    settings = Settings()
    assert settings.api_key and settings.flower_password and settings.webhook_secret
    assert contents["redis_password"].strip() in settings.redis_url
    assert contents["postgres_password"].strip() in str(settings.database_url)


def test_the_bundled_object_storage_knows_its_client_and_is_open_to_nobody_else(checkout: Path) -> None:
    make(checkout)
    told = json.loads((checkout / "secrets" / "s3_identities").read_text())["identities"]
    client = configparser.ConfigParser()
    client.read(checkout / "secrets" / "s3_credentials")
    assert [one["credentials"] for one in told] == [
        [{"accessKey": client["default"]["aws_access_key_id"], "secretKey": client["default"]["aws_secret_access_key"]}]
    ]
    assert {action.partition(":")[2] for action in told[0]["actions"]} == {"recordings"}
    (script,) = SERVICES["s3"]["command"]
    assert "-ip.bind=127.0.0.1" in script and "-s3.ip.bind=0.0.0.0" in script
    assert "-s3.port.iceberg=0 -s3.port.lance=0" in script and "-s3.iam=false" in script, "further doors it would open"
    assert SERVICES["s3"]["networks"] == ["inner"] and "ports" not in SERVICES["s3"]
    assert subprocess.run(["sh", "-n", "-c", script.replace("$$", "$")], check=False).returncode == 0


def test_no_two_installations_have_the_same_secrets(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name / "deploy").mkdir(parents=True)
        (tmp_path / name / "deploy" / "secrets.sh").write_bytes((ROOT / "deploy" / "secrets.sh").read_bytes())
        make(tmp_path / name)
        made.append({p.name: p.read_text() for p in (tmp_path / name / "secrets").iterdir() if p.read_text().strip()})
    assert made[0].keys() == made[1].keys() and not set(made[0].values()) & set(made[1].values())
