"""Every query of the dashboards and alerts, asked of a real Prometheus that looks at a real installation."""

import re
from collections.abc import Iterator

import pytest

from store.events import Events
from tests.monitoring import Prometheus, Query, alerts, choices, lacks, queries, selectors
from tests.stack import KEY, ROOT, Stack, until

EMPTY = {
    ("overview", "Why jobs failed"): "only what failed within that minute is shown",
    **dict.fromkeys(
        [
            *[("queues", "Pieces that were left undone"), ("queues", "Workers lost in the middle of work")],
            *[("gpu", "Out of memory"), ("api", "Server errors by route")],
        ],
        "nothing of that kind has happened",
    ),
    **dict.fromkeys(
        [(board, "Alerts") for board in ("overview", "queues", "gpu", "api", "keys")], "no alert should fire"
    ),
    ("overview", "What is wrong now"): "no alert should fire",
}
"""Panels that may have nothing to show, and why."""
UNSEEN = {
    'longhand_up{part="rabbitmq"}': "the broker is Redis",
    'longhand_up{part="api"}': "the API tells its figures itself",
    'longhand_http_request_duration_seconds_count{status="5xx",route!~"/health.*|/metrics"}': "no server error",
}
"""What alerts look at that need not be there, and why."""
GPU = {"uuid": "GPU-1", "index": 0, "name": "H200", "utilisation": 0.5, "memory_used": 9e9, "memory_total": 15e10}


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if (why := lacks("prometheus")) is not None:
        pytest.skip(why)
    assert stack.run(ROOT / "models" / "demo" / "sample.flac", language="en")["status"] == "done"
    assert stack.run(b"no recording at all" * 100)["status"] == "failed"
    with Prometheus(tmp_path_factory.mktemp("prometheus"), f"127.0.0.1:{stack.port}", KEY) as running:
        events = Events(stack.redis.url)
        try:
            # A machine with a GPU, whose worker serves nothing here.
            events.here("gpu@far", [])
            events.sees("gpu@far", [GPU])
            # `longhand up` gives its Redis no limit, containers do.
            events._client.config_set("maxmemory", 4 << 30)
            told = "longhand_gpu_memory_total_bytes and on () longhand_redis_memory_max_bytes"
            until(lambda: running.ask(told), 30, "the GPU and the limit to be told of")
            yield running
        finally:
            events._client.config_set("maxmemory", 0)
            events.gone("gpu@far")
            events._client.close()


@pytest.mark.parametrize("board", ["overview", "queues", "gpu", "api", "keys"])
def test_every_panel_finds_something(prometheus: Prometheus, board: str) -> None:
    bare, unnamed = set(), []
    for query in (query for query in queries() if query.board == board):
        found = prometheus.ask(query.filled())
        if not found:
            bare.add((board, query.panel))
        for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
            # A name that no series has would be an empty legend; keys' and errors' may be empty.
            if (board, query.panel) not in EMPTY and not all(label in one["metric"] for one in found):
                unnamed.append((query.panel, label))
    assert bare <= EMPTY.keys(), bare - EMPTY.keys()
    assert unnamed == []


def test_choices_have_values_and_narrow_what_is_shown(prometheus: Prometheus) -> None:
    for (board, name), (series, label) in choices().items():
        found = prometheus.ask(f"count by ({label}) ({series})")
        values = [one["metric"].get(label, "") for one in found]
        # There are namespaces in Kubernetes alone.
        assert any(values) is (name != "namespace"), (board, name)
    one = Query("queues", "", 'count by (queue) (longhand_workers{queue=~"$queue"})', "")
    assert [found["metric"]["queue"] for found in prometheus.ask(one.filled(queue="gpu"))] == ["gpu"]


def test_alerts_look_at_what_is_there(prometheus: Prometheus) -> None:
    looked = {selector for rule in alerts() for selector in selectors(rule["expr"])}
    bare = {selector for selector in looked if not prometheus.ask(f"count({selector})")}
    assert bare <= UNSEEN.keys(), bare - UNSEEN.keys()
    known = prometheus.rules()
    assert {rule["name"] for rule in known} == {rule["alert"] for rule in alerts()}
    assert [(rule["name"], rule.get("lastError")) for rule in known if rule["health"] == "err"] == []
    assert UNSEEN.keys() <= looked, "what no alert looks at any more"
    assert EMPTY.keys() <= {(query.board, query.panel) for query in queries()}, "panels that are not there any more"
