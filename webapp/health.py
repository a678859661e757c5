"""Whether everything is there: for people, for load balancers, for whoever restarts processes."""

from concurrent.futures import Future
from typing import Annotated, Any, Literal

from flask import Blueprint, jsonify
from pydantic import Field
from typing_extensions import TypedDict
from werkzeug.wrappers import Response as AnyResponse

from store.events import Worker
from webapp import diarising
from webapp.models import public_model
from webapp.openapi import Answer, Header, Operation, documented
from webapp.schemas import Warn
from webapp.services import BROKER, Services, services

routes = Blueprint("health", __name__)

_SECONDS = 0.8
"""What has not answered by then does not count as there."""
_UNKNOWN = "Whether a worker serves this queue is not known while Redis is away."
_NO_DIARISER = "No worker serves the queue {} just now; recordings wait for one."
_DEMO = "demo"
_DEMO_WARNING: Warn = {
    "code": "demo_model",
    "detail": "The demo model serves: it knows a few hundred words of synthetic speech and recognises nothing else. "
    "Set WHISPER_MODELS to a real model.",
}

_DEMO_DIARISER_WARNING: Warn = {
    "code": "demo_diariser",
    "detail": "The demo diariser serves: it knows synthetic voices and tells few others apart. "
    "Set DIARISATION_MODEL to a real model.",
}


class Check(TypedDict):
    """Whether one thing is there."""

    ok: bool
    detail: Annotated[str | None, Field(description="What is wrong and what to do.")]


class Model(TypedDict):
    """What workers have in memory."""

    status: Annotated[
        Literal["ok", "loading", "unavailable"],
        Field(description="loading: a worker is there and has no model in memory yet."),
    ]
    loaded_models: list[str]
    device: str | None
    compute_type: str | None


class Diarisation(TypedDict):
    """Whether speakers can be told apart; an installation without that is well all the same."""

    status: Annotated[
        Literal["ok", "idle", "unavailable"],
        Field(description="idle: a worker is there; it loads its model with the first recording."),
    ]
    model: str | None
    detail: Annotated[str | None, Field(description="Why not, and what to do.")]


class Health(TypedDict):
    """How the installation is."""

    gateway: Literal["ok", "degraded"]
    model: Model
    diarisation: Diarisation
    warnings: list[Warn]
    checks: dict[str, Check]


class Ready(TypedDict):
    """Whether jobs can be accepted and worked off."""

    ready: bool
    checks: dict[str, Check]


class Live(TypedDict):
    """Whether this process answers."""

    live: bool


_LATER = {"Retry-After": Header("Seconds to wait before the next look.", {"type": "integer"})}


@routes.get("/health")
@documented(
    Operation(
        summary="How the installation is",
        answers={
            200: Answer("Everything is there.", Health),
            503: Answer("Something is missing; checks says what.", Health, headers=_LATER),
        },
        public=True,
        tag="operating",
    )
)
def health() -> AnyResponse:
    """Checks, models and what to be warned of."""
    s = services()
    checks, workers, missing = examine(s)
    well = all(check["ok"] for check in checks.values())
    model = _model(s, workers)
    warnings = [_DEMO_WARNING] if _DEMO in model["loaded_models"] else []
    if s.settings.diarisation_model == _DEMO and not missing:
        warnings.append(_DEMO_DIARISER_WARNING)
    found: Health = {
        "gateway": "ok" if well else "degraded",
        "model": model,
        "diarisation": _diarisation(s, workers, missing),
        "warnings": warnings,
        "checks": checks,
    }
    answer = jsonify(found)
    return answer if well else _unavailable(answer)


@routes.get("/health/live")
@documented(
    Operation(
        summary="Whether the process answers",
        answers={200: Answer("It does.", Live)},
        public=True,
        tag="operating",
    )
)
def live() -> AnyResponse:
    """Asks nothing of anybody else: a restart of this process would not bring the database back."""
    return jsonify({"live": True})


@routes.get("/health/ready")
@documented(
    Operation(
        summary="Whether jobs can be accepted and worked off",
        description="Checks database, Redis, storage, and that each queue has a worker.",
        answers={
            200: Answer("Yes.", Ready),
            503: Answer("No; checks says what is missing.", Ready, headers=_LATER),
        },
        public=True,
        tag="operating",
    )
)
def ready() -> AnyResponse:
    """The checks alone."""
    checks, *_ = examine(services())
    well = all(check["ok"] for check in checks.values())
    answer = jsonify({"ready": well, "checks": checks})
    return answer if well else _unavailable(answer)


def examine(s: Services) -> tuple[dict[str, Check], list[Worker], str | None]:
    """Every check by name, the workers that are alive, and why speakers are not told apart, if they are not.

    It is known within a second, whatever hangs.
    """
    found = s.probes.ask(seconds=_SECONDS)
    # Once each: a probe that ends in between must not be there for one check and missing for another.
    up = {name: _passed(probe) for name, probe in found.items()}
    there: list[Worker] = found["workers"].result() if up["workers"] else []
    served = {queue for worker in there for queue in worker.queues}
    checks = {
        "database": _check(up["database"], "The database does not answer; see whether it runs (DATABASE_URL)."),
        "redis": _check(up["workers"], "Redis does not answer; see whether it runs (REDIS_URL)."),
        "storage": _check(up["storage"], "Files cannot be stored; see whether there is space (STORAGE_URL)."),
    }
    if BROKER in up:
        checks[BROKER] = _check(up[BROKER], "RabbitMQ does not answer; see whether it runs (BROKER_URL).")
    missing = s.diarising.missing(found[diarising.PROBE])
    # Transcripts come without speakers, too: unless the operator says that they belong to it, all is well without them.
    spared = set() if s.diarising.demanded or s.diarising.queue in served else {s.diarising.queue}
    for queue in sorted(s.flow.app.amqp.queues.keys() - spared):
        nobody = f"No worker serves the queue {queue}; start one."
        checks[f"queue {queue}"] = _check(queue in served, nobody if up["workers"] else _UNKNOWN)
    return checks, there, missing


def _check(ok: bool, detail: str) -> Check:
    return {"ok": ok, "detail": None if ok else detail}


def _passed(probe: Future[Any]) -> bool:
    return probe.done() and probe.exception() is None


def _model(s: Services, workers: list[Worker]) -> Model:
    needing = {stage.queue for stage in s.flow.stages.values() if "models" in stage.needs}
    serving = [worker for worker in workers if needing & set(worker.queues)]
    loaded = [model for worker in serving for model in worker.models if "kind" not in model]
    names = dict.fromkeys(public_model(s.settings, model["name"]) for model in loaded)
    return {
        "status": "ok" if loaded else "loading" if serving else "unavailable",
        "loaded_models": list(names),
        "device": loaded[0]["device"] if loaded else None,
        "compute_type": loaded[0]["compute_type"] if loaded else None,
    }


def _diarisation(s: Services, workers: list[Worker], missing: str | None) -> Diarisation:
    serving = [worker for worker in workers if s.diarising.queue in worker.queues]
    loaded = [model for worker in serving for model in worker.models if model.get("kind") == "diariser"]
    name = public_model(s.settings, s.settings.diarisation_model)
    if missing or not serving:
        return {"status": "unavailable", "model": None, "detail": missing or _NO_DIARISER.format(s.diarising.queue)}
    return {"status": "ok" if loaded else "idle", "model": name, "detail": None}


def _unavailable(answer: AnyResponse) -> AnyResponse:
    answer.status_code = 503
    answer.headers["Retry-After"] = "5"
    return answer
