"""Nobody in the cluster may do or reach what it need not, or knows a secret that is not its own."""

import base64
import json
import re
from typing import Any

import pytest
import yaml

from config.secret_files import SECRETS
from tests.charts import (
    CASES,
    COMPOSE,
    FEW,
    OURS,
    Manifest,
    containers,
    made,
    needs_helm,
    of_kind,
    render,
    templates,
    variables,
    with_more,
)
from tests.stack import ROOT

pytestmark = needs_helm


def test_a_pod_may_do_nothing_it_need_not(case: str) -> None:
    found = templates(made(case))
    assert found.keys() <= OURS | {"redis", "postgres"}
    for name, template in found.items():
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        closed = spec["securityContext"]
        assert closed["runAsNonRoot"] is True and closed["runAsUser"] == (10001 if name in OURS else 999)
        assert closed["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in spec.get("volumes", ()):
            assert "hostPath" not in volume
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert container["resources"]["limits"]["memory"] and container["resources"]["requests"].keys() >= {
                "cpu",
                "memory",
            }
            if name in OURS - {"test"}:
                assert {"/tmp", "/run/secrets"} <= {mount["mountPath"] for mount in container["volumeMounts"]}
    assert all(one["automountServiceAccountToken"] is False for one in of_kind(made(case), "ServiceAccount").values())


def test_each_is_watched_and_stopped_with_care(case: str) -> None:
    for name, template in templates(made(case)).items():
        if name in {"migrate", "test"}:
            continue
        [container] = template["spec"]["containers"]
        probes = {"startupProbe", "livenessProbe"} | ({"readinessProbe"} if name != "beat" else set())
        assert probes <= container.keys(), name
        assert template["spec"]["terminationGracePeriodSeconds"] >= 10


def test_no_secret_is_anywhere_but_in_secrets(case: str) -> None:
    values = CASES[case]["secrets"].get("values", {})
    hidden = [*values.values(), "p-database", "p-redis", "p-broker", "p-store"]
    for one in made(case):
        text = json.dumps(one)
        if one["kind"] == "Secret":
            decoded = {name: base64.b64decode(value).decode() for name, value in one["data"].items()}
            assert decoded == values or (
                one["metadata"]["name"].endswith("-migrate") and decoded.items() <= values.items()
            )
            continue
        for secret in hidden:
            assert secret not in text and base64.b64encode(secret.encode()).decode() not in text, one["metadata"][
                "name"
            ]
    for template in templates(made(case)).values():
        for container in containers(template["spec"]):
            for name in variables(container):
                assert name.lower() not in SECRETS, f"{name} belongs into {name}_FILE"


def test_who_is_given_which_secrets() -> None:
    services = COMPOSE["services"]
    for name, template in templates(made("all")).items():
        if name == "test":
            continue
        [volume] = [one["secret"] for one in template["spec"]["volumes"] if one["name"] == "secrets"]
        files = {item["path"] for item in volume["items"]}
        ours = {"gpu-large": "gpu", "metrics": "web"}.get(name, name)
        theirs = {*services[ours]["secrets"], "broker_url"}
        # What figures are told from needs neither; and what brings tables up to date reads no recording.
        theirs -= {"metrics": {"webhook_secret"}, "migrate": {"aws_credentials"}}.get(name, set())
        assert files == theirs, name
        assert volume["defaultMode"] == 0o440
        [container] = template["spec"]["containers"]
        told = {value.removeprefix("/run/secrets/") for value in variables(container).values() if "/secrets/" in value}
        assert told == files, "each it is told of is there"
    traced = {
        name
        for name, template in templates(made("all")).items()
        for one in template["spec"]["containers"][0].get("env", ())
        if one["name"] == "OTEL_EXPORTER_OTLP_HEADERS"
    }
    assert traced == {"web", "cpu", "net", "gpu", "gpu-large", "diarise"}


def test_only_the_api_is_open_to_the_world() -> None:
    objects = made("all")
    [ingress] = of_kind(objects, "Ingress").values()
    [rule] = ingress["spec"]["rules"]
    led = {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
    assert led == {"/metrics": "trial-longhand-closed", "/": "trial-longhand-web"}
    assert "selector" not in of_kind(objects, "Service")["closed"]["spec"], "nothing is behind it"
    assert ingress["spec"]["tls"] == [{"hosts": ["longhand.example.org"], "secretName": "longhand-tls"}]
    notes = ingress["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/proxy-"
    assert notes[f"{prefix}body-size"] == "10000052m" and notes[f"{prefix}read-timeout"] == "360"
    assert notes[f"{prefix}request-buffering"] == notes[f"{prefix}buffering"] == "off"
    closed, rest = of_kind(objects, "HTTPRoute")["web"]["spec"]["rules"]
    assert closed["matches"] == [{"path": {"type": "PathPrefix", "value": "/metrics"}}] and "backendRefs" not in closed
    assert rest["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert {one["spec"]["type"] for case in CASES for one in of_kind(made(case), "Service").values()} == {"ClusterIP"}


def reaches(objects: list[Manifest], component: str) -> list[dict[str, Any]]:
    """The egress rules of the policies that hold of a component."""
    labels = templates(objects)[component]["metadata"]["labels"]
    found = []
    for one in of_kind(objects, "NetworkPolicy").values():
        selector = one["spec"]["podSelector"]
        in_question = selector["matchLabels"].items() <= labels.items() and all(
            (labels[e["key"]] in e["values"]) is (e["operator"] == "In") for e in selector.get("matchExpressions", ())
        )
        found += one["spec"].get("egress", []) if in_question else []
    return found


def test_who_reads_strangers_files_reaches_nothing_but_what_it_needs() -> None:
    objects = made("few")
    ports = {port["port"] for rule in reaches(objects, "cpu") for port in rule["ports"]}
    assert ports == {53, 443, 5432, 5671, 5672, 6379}
    own = render(with_more(FEW, {"networkPolicy": {"backends": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}]}}))
    assert [rule.get("to") for rule in reaches(own, "cpu")] == [None, [{"ipBlock": {"cidr": "10.1.0.0/16"}}]]
    trial = made("trial")
    assert {port["port"] for rule in reaches(trial, "cpu") for port in rule.get("ports", ())} == {53, 5671, 5672}
    assert [rule for rule in reaches(trial, "redis") if "to" in rule] == []


PORTS: dict[str, tuple[dict[str, Any], set[int]]] = {
    "other ports": ({"storage": {"endpointUrl": "http://minio.example.org:9000/"},
                     "secrets": {"values": {"redis_url": "rediss://:p%2F%3A1@redis:6380/0",
                                            "broker_url": "amqps://u:p@one:5673/v;amqps://u:p@two/v",
                                            "database_url": "postgresql+psycopg://u:p@db:6432/l?sslmode=require"}}},
                    {9000, 6380, 5673, 6432}),
    "no port said": ({"storage": {"endpointUrl": "http://minio.example.org"}}, {80, 6379, 5432}),
    "IPv6": ({"storage": {"endpointUrl": "https://[fd00::1]:9443"}}, {9443, 6379, 5432}),
    "a collector": ({"settings": {"ENABLE_TRACING": True, "OTEL_EXPORTER_OTLP_ENDPOINT": "https://[::1]"}},
                    {443, 4317, 4318, 6379, 5432}),
}  # fmt: skip


@pytest.mark.parametrize("what", PORTS)
def test_the_ports_of_what_is_named_are_open(what: str) -> None:
    more, wanted = PORTS[what]
    rules = reaches(render(with_more(FEW, more)), "cpu")
    assert {port["port"] for rule in rules for port in rule["ports"]} == {53, 5671, 5672} | wanted


def test_in_each_cloud_its_redis_can_be_reached() -> None:
    page = (ROOT / "docs" / "clouds.md").read_text()
    for cloud, port in (("Google Cloud", 6378), ("Azure", 10000)):
        [block] = re.findall(rf"^# values for {cloud};[^\n]*\n(.+?)^```", page, re.M | re.S)
        values = with_more(FEW, yaml.safe_load(block))
        del values["secrets"]["values"]
        for name in ("web", "cpu"):
            assert port in {one["port"] for rule in reaches(render(values), name) for one in rule["ports"]}


def test_who_tells_figures_reaches_the_api() -> None:
    objects = render(with_more(FEW, {"metrics": {"enabled": True}, "networkPolicy": {"webFrom": []}}))
    [container] = templates(objects)["metrics"]["spec"]["containers"]
    assert variables(container)["METRICS_API_URL"] == "http://trial-longhand-web:8081"
    assert of_kind(objects, "Service")["web"]["spec"]["ports"][0]["port"] == 8081
    [rule] = [rule for rule in reaches(objects, "metrics") if "to" in rule]
    [to] = rule["to"]
    assert to["podSelector"]["matchLabels"].items() <= templates(objects)["web"]["metadata"]["labels"].items()
    labels = templates(objects)["metrics"]["metadata"]["labels"]
    [let_in] = of_kind(objects, "NetworkPolicy")["web"]["spec"]["ingress"]
    assert [one for one in let_in["from"] if one["podSelector"]["matchLabels"].items() <= labels.items()]
    web = templates(objects)["web"]["spec"]["containers"][0]
    assert "METRICS_API_URL" not in variables(web), "it is the API itself"


@pytest.mark.parametrize("private", [False, True, "true"])
def test_who_fetches_reaches_the_world_and_no_neighbour(private: bool | str) -> None:
    objects = render(with_more(FEW, {"settings": {"ALLOW_PRIVATE_URLS": private}}))
    blocks = [to["ipBlock"] for rule in reaches(objects, "net") for to in rule.get("to", ()) if "ipBlock" in to]
    assert [block["cidr"] for block in blocks] == ["0.0.0.0/0", "::/0"]
    assert all("169.254.0.0/16" in block["except"] or "fe80::/10" in block["except"] for block in blocks)
    assert ("10.0.0.0/8" in blocks[0]["except"]) is (private is False)


def test_flower_is_reached_by_nobody_unless_named() -> None:
    assert "flower" not in of_kind(made("few"), "NetworkPolicy")
    [rule] = of_kind(made("all"), "NetworkPolicy")["flower"]["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {}}]
    policy = of_kind(made("few"), "NetworkPolicy")["all"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in policy
