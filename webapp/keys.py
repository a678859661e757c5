"""API keys: made, listed, revoked, by administrators."""

from datetime import datetime, timedelta
from typing import Annotated, Literal, cast

from flask import Blueprint, jsonify, request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.config import JsonDict
from typing_extensions import TypedDict
from werkzeug.wrappers import Response as AnyResponse

from store import keys
from store.jobs import now
from store.models import ApiKey
from store.views import timestamp
from webapp.access.auth import OWNER
from webapp.errors import Problem, bad_option
from webapp.intake.values import PRINTABLE, whole_numbers
from webapp.lookup import is_id
from webapp.openapi import Answer, Operation, documented
from webapp.responses import empty
from webapp.schemas import Time
from webapp.services import services

routes = Blueprint("keys", __name__)

Scope = Literal["read", "transcribe", "admin"]
MAX_DAYS = 36_500
_RIGHT = {
    "name": "1 to 200 printable characters",
    "scopes": "a list out of read, transcribe and admin, with at least one of them",
    "requests_per_minute": "a whole number from 1 to 1000000, or null",
    "audio_seconds_per_day": "a number of seconds above 0, or null",
    "account": "the id of a key, or admin for the operator's account, or null",
    "expires_at": "a time to come with its zone, such as 2040-01-31T00:00:00Z, or null",
    "expires_in_days": f"a number above 0 and at most {MAX_DAYS}, or null",
}
"""What each field must be, in words."""
_ENDS: JsonDict = {"anyOf": [{"properties": {name: {"type": "null"}}} for name in ("expires_at", "expires_in_days")]}
"""One of the two says when a key ends, not both."""


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_ENDS)

    name: str = Field(
        min_length=1,
        max_length=200,
        pattern=PRINTABLE,
        description="What people call it: a person, a program, a customer.",
    )
    scopes: list[Scope] = Field(
        ["read", "transcribe"],
        min_length=1,
        max_length=20,
        description="What it may: read (GET), transcribe (everything that makes or changes jobs), admin (everything).",
    )
    account: str | None = Field(
        None,
        pattern=f"^([0-9a-f]{{32}}|{OWNER})$",
        description="The id of a key: the new one sees the same jobs, and what it makes is theirs, too. "
        f"{OWNER}: the operator's, whose key is API_KEY. Null: an account of its own.",
    )
    requests_per_minute: Annotated[int | None, BeforeValidator(whole_numbers)] = Field(
        None, ge=1, le=1_000_000, description="Null: the operator's RATE_LIMIT applies."
    )
    audio_seconds_per_day: float | None = Field(
        None,
        gt=0,
        le=1e12,
        allow_inf_nan=False,
        description="Seconds of audio a day (UTC), with all that was used by the key's account. Null: no limit.",
    )
    expires_at: AwareDatetime | None = Field(
        None, description=f"When it ends; in the future, after {MAX_DAYS} days at the latest. Null: never."
    )
    expires_in_days: float | None = Field(
        None,
        gt=0,
        le=MAX_DAYS,
        allow_inf_nan=False,
        description="The same as days from now; send one of the two.",
    )


class KeyView(TypedDict):
    """A key, without itself."""

    id: str
    name: str
    account: Annotated[str, Field(description="Whose jobs it sees and makes: its own id, another key's, or admin.")]
    hint: Annotated[str, Field(description="Its first characters.")]
    scopes: list[Scope]
    requests_per_minute: int | None
    audio_seconds_per_day: float | None
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    used_at: Annotated[Time | None, Field(description="Last use, to the minute.")]


class MadeKey(KeyView):
    """A key that was just made, with what is never shown again."""

    key: Annotated[str, Field(description="The key itself.")]
    webhook_secret: Annotated[
        str | None,
        Field(
            description="Signs the webhooks of its account's jobs (Standard Webhooks). Null in the operator's account: "
            "there it is WEBHOOK_SECRET."
        ),
    ]


class KeyList(TypedDict):
    """All keys."""

    keys: list[KeyView]


@routes.post("/v1/keys")
@documented(
    Operation(
        summary="Make an API key",
        description="The answer holds the key and its webhook secret; neither can be found out later.",
        answers={201: Answer("The new key.", MadeKey)},
        problems=(400, 404, 413, 415, 422),
        body=NewKey.model_json_schema(),
        scope="admin",
        tag="operating",
    )
)
def create() -> AnyResponse:
    """A key nobody had before."""
    wanted = _wanted()
    record, key = keys.create(
        services().store.database,
        wanted.name.strip(),
        scopes=wanted.scopes,
        account=_account(wanted.account),
        requests_per_minute=wanted.requests_per_minute,
        audio_seconds_per_day=wanted.audio_seconds_per_day,
        expires_at=_expiry(wanted),
    )
    secret = None if record.owner == OWNER else record.webhook_secret
    made: MadeKey = {**view(record), "key": key, "webhook_secret": secret}
    answer = jsonify(made)
    answer.status_code = 201
    return answer


@routes.get("/v1/keys")
@documented(
    Operation(
        summary="List API keys, newest first",
        description="With those that are expired or revoked; API_KEY is the operator's setting and not among them.",
        answers={200: Answer("The keys, without themselves.", KeyList)},
        scope="admin",
        tag="operating",
    )
)
def every() -> AnyResponse:
    """All keys."""
    return jsonify({"keys": [view(record) for record in keys.every(services().store.database)]})


@routes.delete("/v1/keys/<key_id>")
@documented(
    Operation(
        summary="Revoke an API key",
        description="At once and for good; its jobs and its usage stay. Doing it again changes nothing.",
        answers={204: Answer("Revoked.")},
        problems=(404,),
        scope="admin",
        tag="operating",
    )
)
def revoke(key_id: str) -> AnyResponse:
    """End a key."""
    if not (is_id(key_id) and keys.revoke(services().store.database, key_id)):
        raise Problem(404, "There is no such key; list the keys there are at /v1/keys.")
    return empty()


def view(record: ApiKey) -> KeyView:
    """A key as administrators see it."""
    return {
        "id": record.id,
        "name": record.name,
        "account": record.owner,
        "hint": record.hint,
        "scopes": cast("list[Scope]", record.scopes),
        "requests_per_minute": record.requests_per_minute,
        "audio_seconds_per_day": record.audio_seconds_per_day,
        "created_at": timestamp(record.created_at),
        "expires_at": _time(record.expires_at),
        "revoked_at": _time(record.revoked_at),
        "used_at": _time(record.used_at),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)


def _wanted() -> NewKey:
    if not request.is_json:
        raise Problem(415, "Send the key as JSON, with Content-Type: application/json.", code="unsupported_media")
    try:
        wanted = NewKey.model_validate_json(request.get_data())
    except ValidationError as error:
        raise bad_option(_why(str(next(iter(error.errors()[0]["loc"]), "")), error.errors()[0]["type"])) from error
    return wanted


def _why(field: str, kind: str = "") -> str:
    """What is wrong with a field, and what would be right."""
    if not field:
        return 'Send a JSON object such as {"name": "Ada\'s laptop"}.'
    if kind == "extra_forbidden":
        return f"There is no field {field[:60]!r}; there are {', '.join(_RIGHT)}."
    return f"{field} must be {_RIGHT[field]}."


def _account(named: str | None) -> str | None:
    """The account that a key of this id belongs to; a key that has ended has one all the same."""
    if named is None or named == OWNER:
        return named
    record = keys.get(services().store.database, named)
    if record is None:
        raise Problem(404, "There is no key with the id in account; list the keys there are at /v1/keys.")
    return record.owner


def _expiry(wanted: NewKey) -> datetime | None:
    """When it ends. A time that is past is no wrong value, it has become one: that is a conflict, not a bad option."""
    if wanted.expires_at is not None and wanted.expires_in_days is not None:
        detail = "expires_at and expires_in_days both say when the key ends; send one of them."
        raise Problem(422, detail, code="invalid_option")
    began = now()
    if wanted.expires_in_days is not None:
        return began + timedelta(days=wanted.expires_in_days)
    if wanted.expires_at is None:
        return None
    ends = min(began + timedelta(days=MAX_DAYS), wanted.expires_at)
    if ends <= began:
        detail = "expires_at is past already; send a time to come, or leave it out for a key without end."
        raise Problem(422, detail, code="invalid_option")
    return ends
