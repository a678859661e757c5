"""What deploy/ has for Prometheus and Grafana: alerts, dashboards, and the queries in them."""

import json
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.stack import ROOT, free_port, until

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
_SELECTOR = re.compile(r"\b((?:longhand_\w+|up|ALERTS(?:_FOR_STATE)?)\b(?:\{[^}]*\})?)")
_ASKED = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")


@dataclass(frozen=True)
class Query:
    """One of a dashboard's."""

    board: str
    panel: str
    expr: str
    legend: str

    def filled(self, **choices: str) -> str:
        """As Grafana asks it, a short while after everything began."""
        expr = self.expr.replace("$__rate_interval", "1m").replace("$__range", "5m")
        return re.sub(r"\$(\w+)", lambda found: choices.get(found[1], ".*"), expr)


def lacks(*programs: str) -> str | None:
    """Why there can be no Prometheus here; None: there can."""
    missing = [program for program in programs if shutil.which(program) is None]
    return f"needs {' and '.join(missing)}: install prometheus (Debian, Ubuntu) and run it again" if missing else None


def alerts() -> list[dict[str, Any]]:
    """Every rule there is."""
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def boards() -> dict[str, dict[str, Any]]:
    """Every dashboard, by the name of its file."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((GRAFANA / "dashboards").glob("*.json"))}


def queries() -> list[Query]:
    """Those of all panels and annotations."""
    found = []
    for name, board in boards().items():
        for one in board["annotations"]["list"]:
            found.append(Query(name, one["name"], one["expr"], one["titleFormat"]))
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                found.append(Query(name, panel["title"], target["expr"], target["legendFormat"]))
    return found


def choices() -> dict[tuple[str, str], tuple[str, str]]:
    """The variables of dashboards: (dashboard, variable) -> (series, label) whose values may be chosen."""
    found = {}
    for name, board in boards().items():
        for one in board["templating"]["list"]:
            if one["type"] == "query":
                asked = _ASKED.fullmatch(one["query"]["query"])
                assert asked, one
                found[name, one["name"]] = (asked["series"], asked["label"])
    return found


def selectors(expr: str) -> set[str]:
    """The series that an expression looks at, with their labels and without a time."""
    return set(_SELECTOR.findall(expr))


class Prometheus:
    """A Prometheus of our own that asks one API every second; ``with Prometheus(folder, …) as prometheus:``."""

    def __init__(self, folder: Path, target: str, key: str) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}/api/v1", trust_env=False, timeout=20)
        secret = folder / "key"
        secret.write_text(key)
        scrape = {
            "job_name": "longhand",
            "authorization": {"credentials_file": str(secret)},
            "static_configs": [{"targets": [target]}],
        }
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(PROMETHEUS / "rules" / "*.yml")],
            "scrape_configs": [scrape],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        command = ["prometheus", f"--config.file={self._folder / 'prometheus.yml'}", "--log.level=warn"]
        command += [f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address=127.0.0.1:{self._port}"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            answered = 'count_over_time(longhand_build_info{job="longhand"}[1m]) >= 3'
            until(lambda: self.ask(answered), 30, "three scrapes", (httpx.HTTPError,))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """What an expression is now: series with their labels and values."""
        answer = self._client.post("/query", data={"query": expr})
        assert answer.status_code in (200, 503), f"{expr}: {answer.text}"
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """The alerts as Prometheus has them."""
        groups = self._client.get("/rules").raise_for_status().json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]
