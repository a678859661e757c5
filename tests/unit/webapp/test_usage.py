"""What was used, as JSON and CSV, for whom it concerns."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from store import jobs, keys, usage
from store.models import Usage
from tests.unit.webapp.conftest import AUTH
from tests.unit.webapp.test_access import is_problem
from webapp.services import Services

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ada(services: Services) -> tuple[str, dict[str, str]]:
    record, key = keys.create(services.store.database, "=HYPERLINK(1)", scopes=["read"])
    return record.id, {"Authorization": f"Bearer {key}"}


@pytest.fixture(autouse=True)
def booked(services: Services, ada: tuple[str, dict[str, str]]) -> None:
    rows = [
        ("admin", "2026-01-30", "small", 10.0), ("admin", "2026-01-31", "/srv/models/best", 0.1),
        ("admin", "2026-01-31", "/opt/best", 0.2), (ada[0], "2026-01-31", "small", 40.0),
        ("gone", "2026-02-01", "small", 80.0), (ada[0], usage.today().isoformat(), "@large", 160.0),
    ]  # fmt: skip
    with services.store.database.write() as session:
        for number, (owner, day, model, seconds) in enumerate(rows):
            session.add(
                Usage(job_id=f"{number:032}", owner=owner, day=day, model=model, audio_seconds=seconds, bytes=1000,
                      at=jobs.now())
            )  # fmt: skip


@pytest.fixture
def ask(client: FlaskClient) -> Ask:
    def ask(query: str, headers: dict[str, str] = AUTH) -> dict[str, Any]:
        response = client.get(f"/v1/usage?{query}", headers=headers)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json
        return found

    return ask


def test_by_day_and_inclusive(ask: Ask) -> None:
    assert ask("from=2026-01-30&to=2026-01-31") == {
        "from": "2026-01-30",
        "to": "2026-01-31",
        "group_by": ["day"],
        "rows": [
            {"day": "2026-01-30", "audio_seconds": 10.0, "jobs": 1, "bytes": 1000},
            {"day": "2026-01-31", "audio_seconds": 40.3, "jobs": 3, "bytes": 3000},
        ],
        "total": {"audio_seconds": 50.3, "jobs": 4, "bytes": 4000},
    }


def test_in_the_order_that_was_asked_for(ask: Ask, ada: tuple[str, dict[str, str]]) -> None:
    found = ask("from=2026-01-31&to=2026-02-01&group_by=model,key,model")
    assert found["group_by"] == ["model", "key"]
    rows = {(row["model"], row["key"], row["key_name"]): row["audio_seconds"] for row in found["rows"]}
    # Folders of the server are shown by their names alone, and those of one name together.
    assert rows == {
        ("best", "admin", "API_KEY"): 0.3, ("small", ada[0], "=HYPERLINK(1)"): 40.0, ("small", "gone", None): 80.0,
    }  # fmt: skip
    assert list(found["rows"][0])[:3] == ["model", "key", "key_name"]


def test_a_key_sees_its_own(ask: Ask, ada: tuple[str, dict[str, str]]) -> None:
    found = ask("from=2026-01-01&to=2026-02-28&group_by=key,day", ada[1])
    assert [row["key"] for row in found["rows"]] == [ada[0]] and found["total"]["audio_seconds"] == 40
    assert ask("", ada[1])["total"]["jobs"] == 1


def test_the_days_when_none_are_named(ask: Ask) -> None:
    today = usage.today()
    assert (ask("")["from"], ask("")["to"]) == (str(today - timedelta(29)), str(today))
    assert ask("to=2026-01-31")["from"] == "2026-01-02"
    assert ask("from=2026-01-31")["to"] == str(today)
    assert ask("from=9999-12-31")["to"] == "9999-12-31"
    assert ask("to=0001-01-05")["from"] == "0001-01-01"
    assert ask("from=1999-01-01&to=1999-01-02&group_by=key") | {"total": 0} == {
        "from": "1999-01-01", "to": "1999-01-02", "group_by": ["key"], "rows": [], "total": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("from=2026-02-30", "from"),
        ("from=20260131", "from"),
        ("from=2026-W01-1", "from"),
        ("to=2026-1-1", "to"),
        ("to=٢٠٢٦-٠١-٠١", "to"),
        ("to=today", "to"),
        ("to=", "to"),
        ("group_by=", "group_by"),
        ("format=", "format"),
        ("group_by=owner", "group_by"),
        ("group_by=key,,day", "group_by"),
        ("format=xml", "format"),
        ("since=2026-01-01", "'since'"),
        ("from=2026-01-01&from=2026-01-02", "from"),
    ],
)
def test_what_cannot_be_understood_is_named(client: FlaskClient, query: str, named: str) -> None:
    response = client.get(f"/v1/usage?{query}", headers=AUTH)
    assert is_problem(response, 400, "invalid_option") and named in response.json["detail"]


def test_days_in_the_wrong_order_contradict_each_other(client: FlaskClient) -> None:
    response = client.get("/v1/usage?from=2026-01-02&to=2026-01-01", headers=AUTH)
    assert is_problem(response, 422, "invalid_option") and "from is later than to" in response.json["detail"]


def test_a_model_has_one_row_whatever_it_was_called(make: Callable[..., Flask]) -> None:
    app = make(whisper_aliases={"fast": "small", "own": "/opt/best", "mine": "/opt/best"})
    found = app.test_client().get("/v1/usage?from=2026-01-01&to=2026-03-01&group_by=model", headers=AUTH).json
    before = {row["model"]: row["jobs"] for row in found["rows"]}
    with app.extensions["longhand"].store.database.write() as session:
        for number, model in enumerate(("fast", "own", "mine", "small")):
            session.add(Usage(job_id=f"{number + 50:032}", owner="admin", day="2026-02-01", model=model,
                              audio_seconds=1.0, bytes=1, at=jobs.now()))  # fmt: skip
    found = app.test_client().get("/v1/usage?from=2026-01-01&to=2026-03-01&group_by=model", headers=AUTH).json
    after = {row["model"]: row["jobs"] for row in found["rows"]}
    assert after == before | {"small": before["small"] + 2, "own": before["own"] + 2}


@pytest.mark.parametrize(
    ("query", "accept", "as_csv"),
    [
        ("format=csv", "application/json", True),
        ("", "text/csv", True),
        ("", "text/csv;q=0.9, application/json;q=0.1", True),
        ("format=json", "text/csv", False),
        ("", "*/*", False),
        ("", "text/html,*/*;q=0.8", False),
    ],
)
def test_json_or_csv(client: FlaskClient, query: str, accept: str, as_csv: bool) -> None:
    response = client.get(f"/v1/usage?{query}", headers={**AUTH, "Accept": accept})
    assert response.mimetype == ("text/csv" if as_csv else "application/json")
    assert response.headers["Vary"] == "Accept"


def test_no_cell_is_run_by_a_spreadsheet(client: FlaskClient, ada: tuple[str, dict[str, str]]) -> None:
    response = client.get("/v1/usage?from=2026-01-31&group_by=key,model&format=csv", headers=AUTH)
    assert "attachment" in response.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[0] == ["key", "key_name", "model", "audio_seconds", "jobs", "bytes"]
    assert [ada[0], "'=HYPERLINK(1)", "'@large", "160.0", "1", "1000"] in rows
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_it_is_what_the_document_says(client: FlaskClient, ask: Ask) -> None:
    document = client.get("/openapi.json").json
    answer = document["paths"]["/v1/usage"]["get"]["responses"]["200"]
    schema = {**answer["content"]["application/json"]["schema"], "components": document["components"]}
    for query in ("", "group_by=key,model,day", "from=2026-01-01&group_by=model"):
        assert [e.message for e in Draft202012Validator(schema).iter_errors(ask(query))] == []
