"""The Pods run what the containers of Compose run, with the same settings and bounds."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from tests.charts import (
    CASES,
    CHART,
    COMPOSE,
    GIVEN,
    defaults,
    made,
    needs_helm,
    of_kind,
    templates,
    variables,
    with_more,
)

pytestmark = needs_helm


def test_they_run_what_the_containers_run() -> None:
    for case in CASES:
        for name, template in templates(made(case)).items():
            if name in {"redis", "postgres", "test"}:
                continue
            service = COMPOSE["services"][{"gpu-large": "gpu", "metrics": "web"}.get(name, name)]
            told = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["command"]).replace("gpu1@", f"{name}@").split()
            [container] = template["spec"]["containers"]
            assert container["command"] == told, name
            assert template["spec"].get("shareProcessNamespace") is service["init"], "somebody reaps what is orphaned"
            if "stop_grace_period" in service:
                wanted = int(service["stop_grace_period"].removesuffix("s"))
                assert template["spec"]["terminationGracePeriodSeconds"] >= wanted
            if service.get("stop_signal") == "SIGQUIT":
                assert variables(container)["REMAP_SIGTERM"] == "SIGQUIT", "TERM would wait for hours of work"
                assert variables(container)["ALIVE_FILE"] == service["environment"]["ALIVE_FILE"]
                said = re.sub(r"\$\$", "$", service["healthcheck"]["test"][1])
                assert container["readinessProbe"]["exec"]["command"][2] == said


def test_what_is_bounded_and_which_images_are_used_is_as_in_compose() -> None:
    def default(text: str) -> str:
        return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)

    every = with_more(defaults(), {"workers": {"cuda": defaults()["workers"]["gpu"]}})
    parts = every["workers"] | {name: every[name] for name in ("web", "beat", "flower", "migrate", "redis", "postgres")}
    for name, part in parts.items():
        limit = default(COMPOSE["services"][name]["mem_limit"])
        assert part["resources"]["limits"] == {"memory": limit.replace("g", "Gi").replace("m", "Mi")}, name
    for name in ("redis", "postgres"):
        assert every[name]["image"] == default(COMPOSE["services"][name]["image"])
    script = templates(made("trial"))["redis"]["spec"]["containers"][0]["command"][2]
    assert script.strip() == default(COMPOSE["services"]["redis"]["command"][2].replace("$$", "$")).strip()


def test_every_setting_can_be_given_and_arrives() -> None:
    given = {name: value for name, value in COMPOSE["x-keeping"].items() if value is None}
    # These the chart has by pods.extraEnv, with pods.extraVolumes for the files that some of them name.
    more = {"AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_PROFILE", "HTTPS_PROXY", "NO_PROXY"}
    of_storage = {"STORAGE_URL", *(name for name in given if name.startswith("AWS_"))} - more
    settings = set(given) - of_storage - more - {"OTEL_EXPORTER_OTLP_HEADERS"}
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]["settings"]["properties"]) == settings
    objects = made("all")
    told = of_kind(objects, "ConfigMap")["settings"]["data"]
    assert told == {
        "WHISPER_MODELS": "large-v3-turbo,small", "MAX_UPLOAD_MB": "10000000", "RETENTION_DAYS": "0.5",
        "DIARISATION": "on", "ENABLE_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "PUBLIC_URL": "https://longhand.example.org", "TRUSTED_PROXIES": "1",
    }  # fmt: skip
    for name, template in templates(objects).items():
        if name == "test":
            continue
        [container] = template["spec"]["containers"]
        own = variables(container)
        if name == "migrate":
            assert told.items() <= own.items() and "envFrom" not in container
        else:
            assert container["envFrom"] == [{"configMapRef": {"name": "trial-longhand-settings"}}]
        assert own["BIND_HOST"] == own["FLOWER_HOST"] == "0.0.0.0" and own["HTTPS_PROXY"] == "http://proxy:3128"
        if name not in {"beat", "flower"}:
            assert own["STORAGE_URL"] == "s3://bucket/prefix" and own["AWS_REGION"] == "eu-central-1"
            assert own["AWS_ENDPOINT_URL"] == "https://s3.example.org"
            assert own["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_required"
            assert own.keys() >= of_storage


def test_the_settings_are_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a Pod is told is taken by the program itself."""
    objects = made("all")
    secrets = {name: base64.b64decode(value) for name, value in of_kind(objects, "Secret")["secrets"]["data"].items()}
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, content in secrets.items():
        (tmp_path / name).write_bytes(content)
    [container] = templates(objects)["net"]["spec"]["containers"]
    told = of_kind(objects, "ConfigMap")["settings"]["data"] | variables(container)
    for name, value in told.items():
        if not name.startswith(("AWS_", "OTEL_", "HTTPS_")):
            monkeypatch.setenv(name, value.replace("/run/secrets", str(tmp_path)))
    found = Settings(_env_file=None)  # type: ignore[call-arg]
    assert found.storage == "s3://bucket/prefix" and found.max_upload_mb == 10_000_000 and found.retention_days == 0.5
    assert found.database == GIVEN["database_url"] and found.redis_url == GIVEN["redis_url"]
    assert found.webhook_secret and found.api_key is None, "what fetches recordings has no key of the API"


def test_a_worker_takes_term_for_quit_if_it_is_told_to() -> None:
    """Kubernetes sends TERM, which Celery takes for leave to finish what may last for hours."""
    told = "import celery.apps.worker as w; print(w.install_worker_term_handler.keywords['callback'].__name__)"
    env = {**os.environ, "REMAP_SIGTERM": "SIGQUIT"}
    done = subprocess.run([sys.executable, "-c", told], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "on_cold_shutdown"
