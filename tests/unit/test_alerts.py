"""The alerts: each fires when it should and not when it nearly should, and says what it wants from somebody."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines import errors
from tests.monitoring import PROMETHEUS, alerts, lacks
from tests.stack import ROOT
from webapp.totalled import OURS

CONFIG = PROMETHEUS / "prometheus.yml"
OPERATE = ROOT / "docs" / "operate.md"
promtool = pytest.mark.skipif(lacks("promtool") is not None, reason=lacks("promtool") or "")


def run(*arguments: object) -> None:
    found = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@promtool
def test_the_rules_are_valid() -> None:
    run("check", "rules", *sorted((PROMETHEUS / "rules").glob("*.yml")))


@promtool
def test_the_configuration_is_valid_and_loads_the_rules(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    (tmp_path / "rules").symlink_to(PROMETHEUS / "rules")
    text = CONFIG.read_text()
    assert "job_name: longhand" in text and "rules/*.yml" in text
    config = tmp_path / "prometheus.yml"
    config.write_text(re.sub(r"credentials_file: [^\s}]+", f"credentials_file: {tmp_path / 'key'}", text))
    run("check", "config", config)


@promtool
@pytest.mark.parametrize("file", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_alerts_fire_when_they_should(file: Path) -> None:
    run("test", "rules", file)


def test_each_alert_is_tested_both_ways() -> None:
    fires, silent = set(), set()
    for file in (PROMETHEUS / "tests").glob("*.yml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for one in test["promql_expr_test"]:
                named = re.search(r'alertname=~?"([^"]+)"', one["expr"])
                for name in named[1].split("|") if named else ():
                    (fires if one["exp_samples"] else silent).add(name)
    names = {rule["alert"] for rule in alerts()}
    assert names == fires, names ^ fires
    assert names == silent, names ^ silent


def test_each_alert_says_what_it_wants() -> None:
    text = OPERATE.read_text()
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in re.findall("^#+ (.+)$", text, re.M)
    }
    rows = re.findall(r"^\| `(Longhand\w+)` \| (page|ticket) \|", text, re.M)
    assert rows == [(rule["alert"], rule["labels"]["severity"]) for rule in alerts()]
    for rule in alerts():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "runbook"}
        assert len(notes["summary"]) < 110 and not notes["summary"].endswith("."), notes["summary"]
        assert notes["description"].endswith(".")
        place, _, anchor = notes["runbook"].partition("#")
        assert place == "docs/operate.md" and anchor in anchors


def kinds(error: type[errors.LonghandError]) -> set[str]:
    return {error.code}.union(*(kinds(one) for one in error.__subclasses__()))


def test_what_senders_did_wrong_wakes_nobody() -> None:
    import pipelines.web.fetching  # noqa: F401  # has errors of its own

    found = {code for rule in alerts() for code in re.findall(r'code!~"([^"]+)"', rule["expr"])}
    assert len(found) == 1
    theirs = set(found.pop().split("|"))
    assert kinds(errors.InputError) | kinds(errors.OptionsError) <= theirs
    assert theirs.isdisjoint(OURS)
    assert kinds(errors.TransientError) | kinds(errors.EngineError) | kinds(errors.ToolError) <= set(OURS)
