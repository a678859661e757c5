"""The dashboards: what stands in them; whether their queries find anything is tested on a running installation."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.monitoring import GRAFANA, alerts, boards, choices, queries, selectors
from tests.stack import ROOT

NAMES = ["api", "gpu", "keys", "overview", "queues"]


def documented() -> set[str]:
    """Every name in the table of figures; a histogram's three."""
    text = (ROOT / "docs" / "operate.md").read_text()
    found = set()
    for line in text.splitlines():
        if line.startswith("| `longhand_"):
            names, what = line.removeprefix("| ").split(" | ", 1)
            for name in re.findall(r"`(longhand_\w+)", names):
                histogram = what.startswith("histogram") or what.startswith("the same of the work on their chunks")
                found |= {f"{name}_{end}" for end in ("bucket", "count", "sum")} if histogram else {name}
    return found


def test_they_are_what_make_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-B", GRAFANA / "make.py", tmp_path], check=True)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    kept = {file.name: file.read_text() for file in (GRAFANA / "dashboards").iterdir()}
    assert made == kept, "run python deploy/grafana/make.py"
    assert list(boards()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_has_its_place_and_says_what_it_is(name: str) -> None:
    board = boards()[name]
    panels = board["panels"]
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        fields = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not fields & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= fields
        if panel["type"] == "row":
            continue
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] and panel["targets"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        first = panel["targets"][0]["expr"]
        several = len(refs) > 1 or (re.search(r"\bby \((?!le\))", first) and not first.startswith("sum(sum by"))
        if several and panel["type"] not in ("table", "heatmap"):
            assert all(target["legendFormat"] != "__auto" for target in panel["targets"]), panel["title"]


def test_links_lead_somewhere() -> None:
    uids = {board["uid"] for board in boards().values()}
    assert len(uids) == len(NAMES)
    for board in boards().values():
        assert board["tags"] == board["links"][0]["tags"] == ["longhand"]
        for panel in board["panels"]:
            for link in panel.get("links", ()):
                assert link["url"].removeprefix("/d/").partition("?")[0] in uids - {board["uid"]}


def test_every_figure_that_is_asked_for_is_documented() -> None:
    known = documented()
    assert "longhand_queue_wait_seconds_bucket" in known and "longhand_jobs_ended_total" in known
    asked = [query.expr for query in queries()] + [rule["expr"] for rule in alerts()]
    asked += [series for series, _ in choices().values()]
    names = {selector.partition("{")[0] for expr in asked for selector in selectors(expr)}
    assert {name for name in names if name.startswith("longhand_")} <= known
    # Figures that no dashboard and no alert looks at: either nobody needs them, or one of these lacks something.
    assert {name for name in known - names if not name.endswith(("_sum", "_count", "_bucket"))} == set()


def test_every_variable_is_used_and_there() -> None:
    for name in NAMES:
        own = {variable for board, variable in choices() if board == name}
        used = {found for query in queries() if query.board == name for found in re.findall(r"\$(\w+)", query.expr)}
        assert used - {"__rate_interval", "__range"} == own


def test_the_dashboard_and_the_alerts_agree_on_whose_fault_it_is() -> None:
    exprs = [query.expr for query in queries()] + [rule["expr"] for rule in alerts()]
    assert len({code for expr in exprs for code in re.findall(r'code!~"([^"]+)"', expr)}) == 1
