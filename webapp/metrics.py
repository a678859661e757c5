"""Figures of the whole installation for Prometheus.

They are read when they are asked for, from the record and from Redis: any of the API's processes tells the same, and
none takes figures along when it ends, but for the requests of its last seconds. ``longhand_up`` says what is missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import structlog
from flask import Blueprint, Response, request
from prometheus_client import exposition
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from werkzeug.wrappers import Response as AnyResponse

from config.version import program_version
from store.events import Memory, Worker
from store.figures import QueueFigures, RecordFigures, Room
from store.jobs import PRIORITIES
from store.models import ACTIVE, OVER
from webapp import latency, totalled
from webapp.api_check import PROBE
from webapp.openapi import Answer, Operation, documented
from webapp.services import DISK, Services, services
from webapp.totalled import known_model

log = structlog.get_logger(__name__)

routes = Blueprint("metrics", __name__)

_SECONDS = 3.0
"""What has not answered by then is left out; Prometheus itself waits for ten seconds, and then has nothing at all."""
_TEXT = "text/plain"
_OPENMETRICS = "application/openmetrics-text"


@routes.get("/metrics")
@documented(
    Operation(
        summary="Figures for Prometheus",
        description="Of the whole installation, whichever of its processes answers. Where the database, Redis or the "
        "broker does not answer, longhand_up says so and the rest is given all the same.",
        answers={
            200: Answer(
                "The text format of Prometheus, or OpenMetrics where Accept prefers it.",
                media={_TEXT: {"type": "string"}, _OPENMETRICS: {"type": "string"}},
            )
        },
        scope="admin",
        tag="operating",
    )
)
def metrics() -> AnyResponse:
    """Every figure there is, in the format that is wanted."""
    found = Figures(services())
    if _wants_openmetrics():
        render: Any = openmetrics.generate_latest  # the package gives it no types
        body, kind = render(found, version="1.0.0"), openmetrics.CONTENT_TYPE_LATEST
    else:
        body, kind = exposition.generate_latest(found), exposition.CONTENT_TYPE_PLAIN_0_0_4
    return Response(body, content_type=kind, headers={"Vary": "Accept"})


def _wants_openmetrics() -> bool:
    weights: dict[str, float] = defaultdict(float)
    for accepted, weight in request.accept_mimetypes:
        kind = accepted.partition(";")[0].strip().lower()
        weights[kind] = max(weights[kind], weight)
    text = max(weights[kind] for kind in (_TEXT, "text/*", "*/*"))
    return weights[_OPENMETRICS] > 0 and weights[_OPENMETRICS] >= text


class Figures(Collector):
    """One look at everything.

    Args:
        s: What to look at.
    """

    def __init__(self, s: Services) -> None:
        self._s = s

    def collect(self) -> Iterable[Metric]:
        """Every family whose source answers in time."""
        found = {name: _answer(name, probe) for name, probe in self._s.figures.ask(seconds=_SECONDS).items()}
        yield InfoMetricFamily("longhand_build", "Which version runs.", {"version": program_version()})
        up = GaugeMetricFamily("longhand_up", "Whether a part of the installation answers.", labels=["part"])
        up.add_metric(["database"], float(found["record"] is not None))
        if self._s.settings.broker_url:
            up.add_metric(["redis"], float(found["workers"] is not None))
            up.add_metric(["rabbitmq"], float(found["queues"] is not None))
        else:
            up.add_metric(["redis"], float(found["queues"] is not None and found["workers"] is not None))
        up.add_metric(["storage"], float(found["storage"] is not None))
        if PROBE in found:
            up.add_metric([PROBE], float(found[PROBE] is not None))
        yield up
        yield from _of_disks(found)
        target = "Longest time that work should wait for a worker (QUEUE_WAIT_TARGET_SECONDS)."
        seconds = self._s.settings.queue_wait_target_seconds
        yield GaugeMetricFamily("longhand_queue_wait_target_seconds", target, seconds)
        yield _of_stages(self._s)
        if found["record"] is not None:
            yield from _of_record(self._s, found["record"])
        if found["queues"] is not None:
            yield from _of_queues(found["queues"])
        if found["workers"] is not None:
            yield from _of_workers(self._s, found["workers"])
        if found["memory"] is not None:
            yield from _of_redis(found["memory"])
        if found["upkeep"] is not None:
            text = "How long ago all jobs were last looked after (UPKEEP_SECONDS); +Inf: not since Redis began."
            yield GaugeMetricFamily("longhand_upkeep_age_seconds", text, found["upkeep"])
        if found["requests"] is not None:
            yield latency.family(found["requests"])


def _answer(name: str, probe: Future[Any]) -> Any:
    """What a source told; None: it does not answer."""
    if not probe.done():
        log.warning("figures are missing because their source does not answer", source=name)
        return None
    if (error := probe.exception()) is not None:
        log.warning("figures are missing", source=name, reason=type(error).__name__)
        return None
    told = probe.result()
    return True if told is None else told


def _of_disks(found: Mapping[str, Any]) -> Iterable[Metric]:
    """Nothing of a disk that cannot be asked: a zero would look as if it were full."""
    rooms: dict[str, Room] = {
        name.removeprefix(DISK): room for name, room in found.items() if name.startswith(DISK) and room is not None
    }
    for name, key, text in (
        ("longhand_disk_free_bytes", "free", "Room that is left on the disk with DATA_DIR or STORAGE_URL."),
        ("longhand_disk_size_bytes", "size", "Size of the disk with DATA_DIR or STORAGE_URL."),
    ):
        yield _gauge(name, text, "place", {place: getattr(room, key) for place, room in rooms.items()})


def _of_record(s: Services, found: RecordFigures) -> Iterable[Metric]:
    text = "Jobs in the record, by status; those deleted are not in it."
    yield _gauge("longhand_jobs", text, "status", {**dict.fromkeys((*ACTIVE, *OVER), 0), **found.jobs})
    text = "How long the work of the oldest queued job whose turn it is has waited since it was last put on a queue."
    yield GaugeMetricFamily("longhand_jobs_oldest_queued_seconds", text, found.oldest_queued)
    none = dict.fromkeys(PRIORITIES, 0)
    text = "Jobs that wait for their account's turn (ACCOUNT_JOBS); nothing of them is on a queue."
    yield _gauge("longhand_turn_jobs_waiting", text, "priority", none | {one.priority: one.jobs for one in found.lines})
    text = "How long a job that is the next of its account has waited for its turn, of all accounts the longest."
    oldest = none | {one.priority: one.oldest for one in found.lines}
    yield _gauge("longhand_turn_oldest_seconds", text, "priority", oldest)
    text = "Webhooks in the record, by status."
    states = {**dict.fromkeys(("pending", "delivered", "failed"), 0), **found.deliveries}
    yield _gauge("longhand_webhook_deliveries", text, "status", states)
    text = "Resumable uploads that have begun and are not complete."
    yield GaugeMetricFamily("longhand_uploads_in_progress", text, found.uploads)
    yield from totalled.families(s, found)


def _of_queues(found: QueueFigures) -> Iterable[Metric]:
    labels = ["queue", "priority"]
    depth = GaugeMetricFamily("longhand_queue_messages", "Messages that wait on a queue.", labels=labels)
    text = "How long the oldest message has waited that is not behind its own recording; 0: none waits."
    age = GaugeMetricFamily("longhand_queue_oldest_message_seconds", text, labels=labels)
    for one in found.waiting:
        depth.add_metric([one.queue, one.priority], one.messages)
        if one.oldest is not None:
            age.add_metric([one.queue, one.priority], one.oldest)
    yield depth
    # What RabbitMQ does not tell is left out: a zero would look as if nothing waited.
    if age.samples:
        yield age
    if found.unacknowledged is not None:
        text = "Messages that workers hold: work under way, and work to be tried again later."
        yield GaugeMetricFamily("longhand_queue_unacknowledged_messages", text, found.unacknowledged)


def _of_stages(s: Services) -> Metric:
    text = "Which queue does a stage's work."
    family = GaugeMetricFamily("longhand_stage_info", text, labels=["stage", "queue"])
    for stage in s.flow.stages.values():
        family.add_metric([stage.name, stage.queue], 1)
    return family


def _of_redis(memory: Memory) -> Iterable[Metric]:
    text = "Memory that Redis has taken for what is in it."
    yield GaugeMetricFamily("longhand_redis_memory_used_bytes", text, memory.used)
    # Without a limit there is none to tell: a zero would look as if it were full.
    if memory.most is not None:
        text = "Memory beyond which Redis refuses what would take more."
        yield GaugeMetricFamily("longhand_redis_memory_max_bytes", text, memory.most)


def _of_workers(s: Services, workers: Sequence[Worker]) -> Iterable[Metric]:
    serving = dict.fromkeys(s.queue_names(), 0)
    processes = dict(serving)
    holding: dict[tuple[str, ...], int] = defaultdict(int)
    diarising = 0
    for worker in workers:
        for queue in serving.keys() & set(worker.queues):
            serving[queue] += 1
            processes[queue] += worker.children
        diarising += any("kind" in m for m in worker.models)
        models = [m for m in worker.models if "kind" not in m]
        held = {(known_model(s.settings, m["name"]), m["device"], m["compute_type"]) for m in models}
        for model in held:
            holding[model] += 1
    yield _gauge("longhand_workers", "Workers that are there, by queue; one may serve several.", "queue", serving)
    text = "Pieces of work that these workers do at the same time, in a process or a thread each, by queue."
    yield _gauge("longhand_worker_processes", text, "queue", processes)
    text = "Workers that have a model in memory."
    family = GaugeMetricFamily("longhand_models_loaded", text, labels=["model", "device", "compute_type"])
    for labels, count in sorted(holding.items()):
        family.add_metric(labels, count)
    yield family
    yield GaugeMetricFamily("longhand_diarisers_loaded", "Workers that have a diariser in memory.", diarising)
    yield from _of_gpus(workers)


def _of_gpus(workers: Iterable[Worker]) -> Iterable[Metric]:
    """Each GPU once, though every worker tells of all GPUs of its machine; nothing where there are none."""
    seen = {gpu["uuid"]: (worker.name.rpartition("@")[2], gpu) for worker in workers for gpu in worker.gpus}
    for name, key, text in (
        ("longhand_gpu_utilisation_ratio", "utilisation", "Share of the last second or so in which a GPU worked."),
        ("longhand_gpu_memory_used_bytes", "memory_used", "Memory of a GPU that is taken, by whatever program."),
        ("longhand_gpu_memory_total_bytes", "memory_total", "Memory that a GPU has."),
    ):
        family = GaugeMetricFamily(name, text, labels=["host", "gpu", "model"])
        for host, gpu in seen.values():
            if key in gpu:
                family.add_metric([host, str(gpu["index"]), gpu["name"]], gpu[key])
        if family.samples:
            yield family


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
