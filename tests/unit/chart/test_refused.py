"""What cannot work is not rendered, and a sentence says why."""

import re
from typing import Any

import pytest

from tests.charts import (
    FEW,
    GIVEN,
    Refused,
    needs_helm,
    render,
    with_more,
)

pytestmark = needs_helm


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    **{f"no {key}": ({"secrets": {"values": {key: ""}}}, f"has no {key}")
       for key in ("api_key", "flower_password", "database_url", "redis_url")},
    "placeholder": ({"secrets": {"values": {"api_key": "lh-Change-Me"}}}, "still a placeholder"),
    "both secrets": ({"secrets": {"existingSecret": "x"}}, "only one can count"),
    "trial without password": ({"redis": {"enabled": True}}, "no redis_password"),
    "sqlite": ({"secrets": {"values": {"database_url": "sqlite:////data/x.db"}}}, "database_url"),
    "odd password": ({"secrets": {"values": {"redis_password": "with space and @"}}}, "redis_password"),
    "nowhere": ({"storage": {"url": ""}}, "Nowhere to keep recordings"),
    "two places": ({"storage": {"persistence": {"enabled": True}}}, "kept in one place"),
    "one machine's volume": (
        {"storage": {"url": "", "persistence": {"enabled": True, "accessModes": ["ReadWriteOnce"]}}},
        "has to be ReadWriteMany",
    ),
    "models on one machine": (
        {"models": {"persistence": {"enabled": True, "accessModes": ["ReadWriteOnce"]}},
                        "workers": {"gpu": {"replicas": 2}}},
        "Without it each Pod fetches its own models",
    ),
    "no worker": ({"workers": {"net": {"enabled": False}}}, "No worker serves the queue net"),
    "no diariser": ({"settings": {"DIARISATION": "on"}}, "workers.diarise.enabled=true"),
    "keda asks nobody": ({"workers": {"gpu": {"autoscaling": {"kind": "keda"}}}}, "prometheus.address"),
    "none without keda": (
        {"workers": {"gpu": {"autoscaling": {"kind": "external", "minReplicas": 0}}}}, "kind: keda only",
    ),
    "less than least": (
        {"workers": {"cpu": {"autoscaling": {"kind": "cpu", "minReplicas": 9}}}}, "more than maxReplicas",
    ),
    "cuda on the small image": (
        {"workers": {"gpu": {"device": "cuda", "image": "worker"}}}, "no CUDA libraries",
    ),
    "monitor of nothing": ({"metrics": {"serviceMonitor": {"enabled": True}}}, "metrics.enabled=true"),
    "no host": ({"ingress": {"enabled": True}}, "ingress.host is empty"),
    "no certificate": (
        {"ingress": {"enabled": True, "host": "h", "tls": {"secretName": ""}}}, "tls.secretName is empty",
    ),
    "a port that is closed": (
        {"storage": {"endpointUrl": "https://minio:9000"}, "networkPolicy": {"backends": [
            {"ports": [{"port": 443}, {"protocol": "UDP", "port": 9000}, {"port": 9001, "endPort": 9009}]}]}},
        "networkPolicy.backends lets nothing through to port 9000, where storage.endpointUrl is",
    ),
    "nothing but the database": (
        {"networkPolicy": {"backends": [{"ports": [{"port": 5432}]}]}}, "port 443, where storage.url is",
    ),
    "no way to the collector": (
        {"settings": {"ENABLE_TRACING": True, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4999"},
         "networkPolicy": {"backends": [{"ports": [{"port": 443}]}]}}, "port 4999, where settings.OTEL_EXPORTER",
    ),
    "no gateway": ({"route": {"enabled": True}}, "route.parentRefs is empty"),
    "typing error": ({"storge": {}}, "storge"),
    "typing error in a worker": ({"workers": {"gpu": {"replica": 2}}}, "replica"),
    "typing error in a setting": ({"settings": {"WHISPER_MODEL": "small"}}, "WHISPER_MODEL"),
    "secret as a setting": ({"settings": {"API_KEY": "x"}}, "API_KEY"),
    "word that YAML takes for true": ({"settings": {"DIARISATION": True}}, "DIARISATION"),
    "taken name": ({"workers": {"web": {"enabled": True, "queue": "cpu", "replicas": 1}}}, "workers"),
}  # fmt: skip


@pytest.mark.parametrize("rule", [
    {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, {"ports": [{"port": 9000}]}, {"ports": [{"protocol": "TCP"}]},
    {"ports": [{"port": 8000, "endPort": 9999}]}, {"ports": [{"port": "store"}]},
])  # fmt: skip
@pytest.mark.parametrize("where", ["backends", "extraEgress"])
def test_a_port_may_be_let_through_in_several_ways(rule: dict[str, Any], where: str) -> None:
    rules = {"backends": [], where: [rule]}
    assert render(with_more(FEW, {"storage": {"endpointUrl": "https://minio:9000"}, "networkPolicy": rules}))


@pytest.mark.parametrize("why", sorted(REFUSED))
def test_what_cannot_work_is_refused_with_a_reason(why: str) -> None:
    more, reason = REFUSED[why]
    with pytest.raises(Refused, match=re.escape(reason)) as refused:
        render(with_more(FEW, more))
    assert not [secret for secret in GIVEN.values() if secret in str(refused.value)]
