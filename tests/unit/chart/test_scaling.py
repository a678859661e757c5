"""More workers when work waits; and what Prometheus and Grafana are given."""

import re
from pathlib import Path

import yaml

from pipelines.stage import discover
from tests import monitoring
from tests.charts import (
    ALL,
    CHART,
    FEW,
    defaults,
    made,
    needs_helm,
    needs_promtool,
    of_kind,
    promtool,
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
    objects = render(with_more(ALL, {"prometheus": {"matchers": ""}}))
    rules = [group for one in of_kind(objects, "PrometheusRule").values() for group in one["spec"]["groups"]]
    files = sorted((monitoring.PROMETHEUS / "rules").glob("*.yml"))
    for rule in (rule for group in rules for rule in group["rules"]):
        assert (rule["labels"].pop("namespace"), rule["labels"].pop("release")) == ("speech", "trial")
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
    'longhand_worker_processes{queue="gpu",namespace="speech"}': "4x80",
}
LONG = SERIES | {
    # A model that is as slow as speech: each chunk waits ten minutes for the one before it.
    OLDEST + '{queue="gpu",priority="normal",namespace="speech"}': "600x80",
    'longhand_jobs{status="queued",namespace="speech"}': "0x80",
    'longhand_jobs{status="running",namespace="speech"}': "1x80",
}


@needs_promtool
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
                {
                    "eval_time": "15m",
                    "expr": trigger["metadata"]["query"],
                    "exp_samples": [] if value is None else [{"value": value}],
                }
                for trigger, value in ((wait, waited), (busy, worked))
            ],
        }
        for given, waited, worked in (
            (SERIES, 3, 3),
            # One recording alone has two, whatever the others do: of four processes no more are wanted.
            (LONG, 0.5, 1.4),
            ({**LONG, 'longhand_worker_processes{queue="gpu",namespace="speech"}': "1x80"}, 2, 1.4),
            # Another that is queued behind it counts.
            ({**LONG, 'longhand_jobs{status="queued",namespace="speech"}': "3x80"}, 2, 3),
            # Nobody is there yet: the machine comes.
            ({**LONG, 'longhand_worker_processes{queue="gpu",namespace="speech"}': "0x80"}, 10, 1.4),
            # Jobs or processes that nobody can tell hold nothing back.
            ({name: one for name, one in LONG.items() if "processes" not in name}, 10, 1.4),
            ({name: one for name, one in LONG.items() if "jobs" not in name}, 10, 3),
            # The last worker stays while there is a job; with nothing to be seen none is asked for.
            ({name: one for name, one in LONG.items() if WORK not in name}, 0.5, 0.01),
            ({}, None, 0),
        )
    ]
    promtool(tmp_path, tests)


def test_the_adapter_tells_what_the_other_scaler_asks_for() -> None:
    rules = yaml.safe_load((CHART / "examples" / "prometheus-adapter.yaml").read_text())["rules"]["external"]
    asked = of_kind(made("all"), "HorizontalPodAutoscaler")["gpu-large"]["spec"]["metrics"]
    assert [rule["name"]["as"] for rule in rules] == [one["external"]["metric"]["name"] for one in asked]
    keda = [one["metadata"]["query"] for one in of_kind(made("all"), "ScaledObject")["gpu"]["spec"]["triggers"]]
    for rule, query, matchers in zip(rules, keda, ('queue="gpu"', 'stage=~"detect_language|transcribe"'), strict=True):
        told = rule["metricsQuery"].replace("<<.LabelMatchers>>", matchers)
        assert re.sub(r"\s+", "", told) == re.sub(r'\s+|,namespace="speech"|namespace="speech"', "", query)


def test_a_pod_counts_for_as_many_as_it_does_at_a_time() -> None:
    auto = {"kind": "keda", "minReplicas": 1, "maxReplicas": 9}
    workers = {
        "cpu": {"autoscaling": auto},
        "net": {"autoscaling": auto},
        "gpu": {"autoscaling": {**auto, "perJob": 5}, "concurrency": 3},
        "gpu-large": {**defaults()["workers"]["gpu"], "concurrency": 4, "autoscaling": {**auto, "kind": "external"}},
    }
    more = {"prometheus": {"address": "http://p"}, "settings": {"NET_THREADS": 48}, "workers": workers}
    objects = render(with_more(FEW, more))
    found = {name: one["spec"]["triggers"] for name, one in of_kind(objects, "ScaledObject").items()}
    assert {name: busy["metadata"]["threshold"] for name, (_, busy) in found.items()} == {
        "cpu": "1.4", "net": "33.6", "gpu": "2.1",
    }  # fmt: skip
    for name, one in of_kind(objects, "Deployment").items():
        if name in workers:
            command = one["spec"]["template"]["spec"]["containers"][0]["command"]
            wanted = {"cpu": "2", "net": "48", "gpu": "3", "gpu-large": "4"}[name]
            assert command[command.index("--concurrency") + 1] == wanted
    _, busy = of_kind(objects, "HorizontalPodAutoscaler")["gpu-large"]["spec"]["metrics"]
    assert busy["external"]["target"] == {"type": "AverageValue", "averageValue": "2800m"}
    assert all("5 * scalar" in trigger["metadata"]["query"] for trigger in found["gpu"])
    assert "clamp_max(max" not in found["net"][0]["metadata"]["query"], "webhooks are of jobs that are over"
    windows = {span for one in found.values() for t in one for span in re.findall(r"\[(\w+)\]", t["metadata"]["query"])}
    assert windows == {"10m"}, "work counts when it is done"
