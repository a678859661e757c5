"""The alerts as the chart gives them: of this installation alone, and patient where machines have to come first."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests import monitoring
from tests.charts import (
    FEW,
    Manifest,
    defaults,
    needs_helm,
    needs_promtool,
    of_kind,
    promtool,
    render,
    with_more,
)

pytestmark = needs_helm
OURS = 'namespace="speech",service="longhand-metrics"'
OTHERS = 'namespace="other",service="longhand-metrics"'
SERIES = re.compile(r"\blonghand_\w+|\bup\b")
ZERO: dict[str, Any] = {
    "metrics": {"enabled": True, "rules": {"enabled": True}},
    "prometheus": {"address": "http://p", "matchers": OURS},
    "workers": {"gpu": {"autoscaling": {"kind": "keda", "minReplicas": 0, "maxReplicas": 4}}},
}


def rules_of(more: dict[str, Any]) -> list[Manifest]:
    return list(of_kind(render(with_more(FEW, with_more(ZERO, more))), "PrometheusRule").values())


def each(rules: list[Manifest]) -> list[dict[str, Any]]:
    return [rule for one in rules for group in one["spec"]["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("matchers", [OURS, 'release=~"longhand_(a|b)$"', 'up="$1"'])
def test_every_series_of_the_alerts_is_of_this_installation(matchers: str) -> None:
    still = {"gpu": {"autoscaling": {"minReplicas": 1}}}
    rules = each(rules_of({"prometheus": {"matchers": matchers}, "workers": still}))
    for rule, file in zip(rules, monitoring.alerts(), strict=True):
        assert rule["expr"].replace(f"{{{matchers}}}", "").replace(f"{matchers},", "") == file["expr"].strip()
        assert rule["expr"].count(matchers) == len(SERIES.findall(file["expr"])) > 0


def test_patience_is_for_queues_that_nobody_need_serve() -> None:
    def patient(more: dict[str, Any], span: str = "20m") -> set[str]:
        return {rule["alert"] for rule in each(rules_of(more)) if rule["for"] == span}

    late = patient({})
    assert late >= {"LonghandQueueUnserved", "LonghandWorkWaitsFarTooLong"}
    assert {rule["labels"]["severity"] for rule in monitoring.alerts() if rule["alert"] in late} == {"page"}
    second = {**defaults()["workers"]["gpu"], "replicas": 1}
    assert patient({"workers": {"gpu-large": second}}) == set(), "one of them is always there"
    assert patient({"workers": {"gpu-large": second | {"enabled": False}}}) == late
    assert patient({"metrics": {"rules": {"fromZero": "45m"}}}, "45m") == late


def given(ours: str, *, unserved: str) -> dict[str, str]:
    """Three messages on the queue gpu for 50 minutes, or on cpu, which nobody serves."""
    return {
        **{f'longhand_queue_messages{{queue="{queue}",priority="normal",{ours}}}': f"{3 * (queue == unserved)}x200"
           for queue in ("cpu", "gpu")},
        **{f'longhand_workers{{queue="{queue}",{ours}}}': f"{int(queue != unserved)}x200" for queue in ("cpu", "gpu")},
        f'longhand_queue_oldest_message_seconds{{queue="{unserved}",priority="normal",{ours}}}': "0+15x200",
        f"longhand_queue_wait_target_seconds{{{ours}}}": "60x200",
        f'up{{job="longhand",{ours}}}': "1x200",
    }  # fmt: skip


@needs_promtool
def test_a_machine_that_has_to_come_first_wakes_nobody(tmp_path: Path) -> None:
    """And of two installations in one Prometheus each raises its own alerts, by its own name."""

    def firing(when: str, *alerts: tuple[str, str]) -> dict[str, Any]:
        more = 'namespace="speech",release="trial",severity="page",alertstate="firing"'
        samples = [
            {"labels": f'ALERTS{{alertname="{name}",queue="{queue}",{more}}}', "value": 1} for name, queue in alerts
        ]
        return {"expr": 'ALERTS{alertstate="firing",severity="page"}', "eval_time": when, "exp_samples": samples}

    unserved, waits = "LonghandQueueUnserved", "LonghandWorkWaitsFarTooLong"
    elsewhere = given(OTHERS, unserved="cpu") | {f'up{{job="longhand",{OTHERS}}}': "0x200"}
    cases = [
        (given(OURS, unserved="gpu"), [firing("19m"), firing("22m", (unserved, "gpu")),
                                       firing("30m", (unserved, "gpu"), (waits, "gpu"))]),
        (given(OURS, unserved="cpu"), [firing("4m", (unserved, "cpu")),
                                       firing("12m", (unserved, "cpu"), (waits, "cpu"))]),
    ]  # fmt: skip
    tests = [
        {
            "interval": "15s",
            "input_series": [{"series": name, "values": values} for name, values in (series | elsewhere).items()],
            "promql_expr_test": asked,
        }
        for series, asked in cases
    ]
    promtool(tmp_path, tests, rules_of({}))
