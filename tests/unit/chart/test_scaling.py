"""More workers when work waits; and what Prometheus and Grafana are given."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.stage import discover
from tests import monitoring
from tests.charts import (
    CHART,
    FEW,
    defaults,
    made,
    needs_helm,
    of_kind,
    render,
    with_more,
)

pytestmark = needs_helm


def test_each_queue_has_a_worker_and_scales_by_its_stages() -> None:
    stages = discover([])
    queues = {stage.queue for stage in stages.values()}
    shipped = defaults()["workers"]
    assert {worker["queue"] for worker in shipped.values()} == queues
    on = {worker["queue"] for worker in shipped.values() if worker["enabled"]}
    assert on == queues - {"diarise"}
    keda = {"enabled": True, "autoscaling": {"kind": "keda", "minReplicas": 1, "maxReplicas": 9}}
    scaled = {"prometheus": {"address": "http://p"}, "workers": dict.fromkeys(queues, keda)}
    found = of_kind(render(with_more(FEW, scaled)), "ScaledObject")
    assert found.keys() == queues
    for queue, one in found.items():
        wait, busy = (trigger["metadata"]["query"] for trigger in one["spec"]["triggers"])
        assert f'queue="{queue}"' in wait
        [pattern] = re.findall(r'stage=~"([^"]+)"', busy)
        assert pattern.split("|") == sorted(name for name, stage in stages.items() if stage.queue == queue)


def test_what_prometheus_and_grafana_are_given_are_the_files_themselves() -> None:
    objects = made("all")
    rules = [group for one in of_kind(objects, "PrometheusRule").values() for group in one["spec"]["groups"]]
    files = sorted((monitoring.PROMETHEUS / "rules").glob("*.yml"))
    assert rules == [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    boards = {
        name: text
        for one in of_kind(objects, "ConfigMap").values()
        if one["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, text in one["data"].items()
    }
    kept = {f"longhand-{one.name}": one.read_text() for one in (monitoring.GRAFANA / "dashboards").glob("*.json")}
    assert {name: text.strip() for name, text in boards.items()} == {name: text.strip() for name, text in kept.items()}
    [monitor] = of_kind(objects, "ServiceMonitor").values()
    service = of_kind(objects, "Service")["metrics"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "longhand", "the alerts ask for this job"
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]} and endpoint["path"] == "/metrics"
    assert endpoint["authorization"]["credentials"] == {"name": "trial-longhand-secrets", "key": "api_key"}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


OLDEST = "longhand_queue_oldest_message_seconds"
WORK = "longhand_stage_duration_seconds_sum"
SERIES = {
    OLDEST + '{queue="gpu",priority="normal",namespace="speech"}': "180x80",
    OLDEST + '{queue="gpu",priority="low",namespace="speech"}': "9000x80",
    OLDEST + '{queue="cpu",priority="normal",namespace="speech"}': "9000x80",
    'longhand_queue_wait_target_seconds{namespace="speech"}': "60x80",
    # Every 15 seconds 45 seconds of work are done: three are busy.
    WORK + '{stage="transcribe",namespace="speech"}': "0+45x80",
    WORK + '{stage="merge",namespace="speech"}': "0+900x80",
    'longhand_jobs{status="queued",namespace="speech"}': "7x80",
    'longhand_jobs{status="done",namespace="speech"}': "900x80",
}


@pytest.mark.skipif(monitoring.lacks("promtool") is not None, reason=monitoring.lacks("promtool") or "")
def test_gpus_are_added_by_how_long_work_waits_and_how_busy_they_are(tmp_path: Path) -> None:
    spec = of_kind(made("all"), "ScaledObject")["gpu"]["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 4)
    wait, busy = spec["triggers"]
    assert (wait["metricType"], wait["metadata"]["threshold"]) == ("Value", "1")
    assert (busy["metricType"], busy["metadata"]["threshold"]) == ("AverageValue", "0.7")
    tests = [
        {
            "interval": "15s",
            "input_series": [{"series": series, "values": values} for series, values in given.items()],
            "promql_expr_test": [
                {"eval_time": "15m", "expr": trigger["metadata"]["query"], "exp_samples": samples}
                for trigger, samples in ((wait, waited), (busy, [{"value": worked}]))
            ],
        }
        # With nothing to be seen none is asked for, and nothing is wrong.
        for given, waited, worked in ((SERIES, [{"value": 3}], 3.01), ({}, [], 0))
    ]
    (tmp_path / "scaling.yml").write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": tests}))
    program = shutil.which("promtool")
    assert program
    done = subprocess.run(
        [program, "test", "rules", tmp_path / "scaling.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_adapter_tells_what_the_other_scaler_asks_for() -> None:
    rules = yaml.safe_load((CHART / "examples" / "prometheus-adapter.yaml").read_text())["rules"]["external"]
    asked = of_kind(made("all"), "HorizontalPodAutoscaler")["gpu-large"]["spec"]["metrics"]
    assert [rule["name"]["as"] for rule in rules] == [one["external"]["metric"]["name"] for one in asked]
    keda = [one["metadata"]["query"] for one in of_kind(made("all"), "ScaledObject")["gpu"]["spec"]["triggers"]]
    for rule, query, matchers in zip(rules, keda, ('queue="gpu"', 'stage=~"detect_language|transcribe"'), strict=True):
        told = rule["metricsQuery"].replace("<<.LabelMatchers>>", matchers)
        assert re.sub(r"\s+", "", told) == re.sub(r'\s+|,namespace="speech"|namespace="speech"', "", query)
