"""What was used: seconds of audio, jobs and bytes, by key, day and model."""

import csv
import io
import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NotRequired, cast

from flask import Blueprint, Response, jsonify, request
from typing_extensions import TypedDict
from werkzeug.wrappers import Response as AnyResponse

from store import keys, usage
from store.usage import GROUPS, Sum
from webapp.access.auth import OWNER, caller
from webapp.errors import Problem, bad_option
from webapp.models import counted_model
from webapp.openapi import Answer, Operation, Parameter, documented
from webapp.services import Services, services

routes = Blueprint("usage", __name__)

DAYS = 30
"""Days that are shown when a request does not say."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIGURES = ("audio_seconds", "jobs", "bytes")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With these a spreadsheet takes a cell for a formula and runs it."""
_DATE = {"type": "string", "format": "date"}
_ANY_GROUPS = "^(key|day|model)(,(key|day|model))*$"


class Row(TypedDict):
    """The usage of one group; of key, day and model those it is grouped by."""

    key: NotRequired[str]
    key_name: NotRequired[str | None]
    day: NotRequired[str]
    model: NotRequired[str]
    audio_seconds: float
    jobs: int
    bytes: int


class Total(TypedDict):
    """The usage of all rows together."""

    audio_seconds: float
    jobs: int
    bytes: int


# `from` cannot be written as a field of a class.
Report = TypedDict("Report", {"from": str, "to": str, "group_by": list[str], "rows": list[Row], "total": Total})


@routes.get("/v1/usage")
@documented(
    Operation(
        summary="Look at what was used",
        description="Each job that was done counts once, on the day (UTC) it ended, and stays counted when it is "
        "deleted. A key that does not administrate sees its own usage, that "
        "of its account; the key of a group is an account, by its first key.",
        answers={200: Answer("Sums by group.", Report, media={"text/csv": {"type": "string"}})},
        problems=(400, 422),
        parameters=(
            Parameter("from", f"First day (UTC); else {DAYS} days up to the last.", _DATE),
            Parameter("to", "Last day (UTC), inclusive; else today.", _DATE),
            Parameter(
                "group_by",
                "One or more of key, day and model with commas between them, in the order wanted.",
                {"type": "string", "pattern": _ANY_GROUPS, "default": "day"},
            ),
            Parameter("format", "Else as Accept says.", {"type": "string", "enum": ["json", "csv"]}),
        ),
        tag="operating",
    )
)
def report() -> AnyResponse:
    """Usage by group, as JSON or CSV."""
    s = services()
    first, last = _days()
    groups = _groups()
    as_csv = _wants_csv()
    found = usage.totals(s.store.database, first=first, last=last, group_by=groups, owner=caller().sees)
    rows = _rows(s, found, groups)
    if as_csv:
        return _csv(rows, groups, f"usage-{first}-{last}.csv")
    total = {name: sum(row[name] for row in rows) for name in _FIGURES}
    total["audio_seconds"] = round(float(total["audio_seconds"]), 3)
    return _varying(
        jsonify({"from": str(first), "to": str(last), "group_by": list(groups), "rows": rows, "total": total})
    )


def _days() -> tuple[date, date]:
    first, last = _day("from"), _day("to")
    last = last or max(usage.today(), first or date.min)
    first = first or last - min(timedelta(days=DAYS - 1), last - date.min)
    if first > last:
        raise Problem(422, "from is later than to; send the two days the other way round.", code="invalid_option")
    return first, last


def _day(name: str) -> date | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError as error:
        raise bad_option(f"{name} must be a date such as 2026-01-31.") from error


def _groups() -> tuple[str, ...]:
    asked = [part.strip() for part in request.args.get("group_by", "day").split(",")]
    if not set(asked) <= set(GROUPS):
        raise bad_option(f"group_by must be one or more of {', '.join(GROUPS)} with commas between them.")
    return tuple(dict.fromkeys(asked))


def _wants_csv() -> bool:
    text = request.args.get("format")
    if text is not None and text not in {"json", "csv"}:
        raise bad_option("format must be json or csv.")
    return (
        text == "csv"
        if text
        else request.accept_mimetypes.best_match(["application/json", "text/csv"], "application/json") == "text/csv"
    )


def _rows(s: Services, found: Sequence[Sum], groups: Sequence[str]) -> list[dict[str, Any]]:
    """Sums as they are shown: keys with their names, models without the server's folders."""
    names = keys.names(s.store.database) if "key" in groups else {}
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in found:
        shown = dict(zip(groups, one.group, strict=True))
        if "model" in shown:
            shown["model"] = counted_model(s.settings, shown["model"])
        row = rows.setdefault(tuple(shown.values()), {**_named(shown, names), **dict.fromkeys(_FIGURES, 0)})
        for name in _FIGURES:
            row[name] += getattr(one, name)
    for row in rows.values():
        row["audio_seconds"] = round(float(row["audio_seconds"]), 3)
    return list(rows.values())


def _named(shown: dict[str, str], names: dict[str, str]) -> dict[str, Any]:
    """A row's groups, with the name after the id of a key."""
    row: dict[str, Any] = {}
    for group, value in shown.items():
        row[group] = value
        if group == "key":
            row["key_name"] = "API_KEY" if value == OWNER else names.get(value)
    return row


def _csv(rows: Sequence[dict[str, Any]], groups: Sequence[str], name: str) -> AnyResponse:
    columns = [*_named(dict.fromkeys(groups, ""), {}), *_FIGURES]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row[column]) for column in columns] for row in rows)
    answer = Response(text.getvalue(), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return _varying(answer)


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet runs."""
    if isinstance(value, str) and (value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)):
        return f"'{value}"
    return cast(Any, value)


def _varying(answer: Response) -> AnyResponse:
    answer.headers["Vary"] = "Accept"
    return answer
