"""Spans of jobs, sent over OTLP to whatever the operator collects them with (ENABLE_TRACING).

A job is one trace, and its id is the trace's: so every process knows it, after any restart, without being told. Spans
are made when what they tell of is over, and none is open meanwhile. Nothing is imported, and no thread begun, before
the first span of a process; processes that are forked later make their own sender. A collector that is slow or away
costs nothing but its spans.
"""

import hashlib
import importlib.util
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from config.settings import Settings

log = logging.getLogger(__name__)

_PACKAGE = "opentelemetry.exporter.otlp.proto.http"
_END_SECONDS = 2.0
"""How long a process that ends may go on sending."""
_EVERY_MILLISECONDS = 1000.0  # a process that is killed takes along what was not sent
_TELL_SECONDS = 300.0
"""How often the log says that spans cannot be sent."""

_on = False
_sender: tuple[int, "_Sender"] | None = None
_lock = threading.Lock()


def lacks() -> str | None:
    """Why spans cannot be sent here, in a sentence; None: they can."""
    try:
        found = importlib.util.find_spec(_PACKAGE) is not None
    except ImportError:
        found = False
    if not found:
        return "ENABLE_TRACING needs further packages: pip install -r requirements/tracing.txt, or set it to false"
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    chosen = next((os.environ[name] for name in names if os.environ.get(name)), "http/protobuf")
    if chosen != "http/protobuf":
        return "spans are sent by HTTP alone: set OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf, with that address"
    return None


def enable(settings: "Settings") -> None:
    """Send spans from now on, if the operator wants it."""
    global _on
    _on = settings.enable_tracing


def enabled() -> bool:
    """Whether spans are sent."""
    return _on


def emit(
    job_id: str,
    name: str,
    *,
    start: float,
    end: float,
    failed: str | None = None,
    within: str = "",
    own: str = "",
    attributes: Mapping[str, Any],
) -> None:
    """Send a span of a job's trace. Never raises, never waits.

    Args:
        job_id: The job.
        name: What it tells of, one of few.
        start: When that began, in seconds since 1970.
        end: When it was over; not taken for less than ``start``.
        failed: Why it came to nothing, in a word.
        within: What it was a part of: the name that the surrounding span has as its ``own``; empty: the request.
        own: By which it can be found as the surrounding one; empty: it is not.
        attributes: Those that are None are left out.
    """
    if (sender := _open()) is not None:
        try:
            sender.emit(job_id, name, start, end, failed, within, own, attributes)
        except Exception:  # whatever it is, the job must not suffer
            log.debug("a span was not made", exc_info=True)


def requested(
    job_ids: Sequence[str],
    name: str,
    *,
    start: float,
    end: float,
    headers: Mapping[str, str],
    again: bool = False,
    attributes: Mapping[str, Any],
) -> None:
    """Send the root of each of these jobs' traces: the request that made them; and its place in the client's trace.

    Args:
        job_ids: The jobs.
        name: Method and route.
        start: When the request began, in seconds since 1970.
        end: When it was accepted.
        headers: ``traceparent`` and ``tracestate`` as the client sent them, if it did.
        again: Whether another request made them, so that their traces have a root already.
        attributes: Of the request.
    """
    if (sender := _open()) is not None:
        try:
            sender.requested(job_ids, name, start, end, headers, again, attributes)
        except Exception:  # as above
            log.debug("a span was not made", exc_info=True)


def close() -> None:
    """Send what is left, for two seconds at most; for a process that ends."""
    global _sender
    with _lock:
        mine, _sender = _sender, None
    if mine is not None and mine[0] == os.getpid():
        ending = threading.Thread(target=mine[1].close, name="last-spans", daemon=True)
        ending.start()
        ending.join(_END_SECONDS)


def _open() -> "_Sender | None":
    """The sender of this process; that of the process it was forked from sends nothing here."""
    global _sender, _on
    if not _on:
        return None
    if _sender is None or _sender[0] != os.getpid():
        with _lock:
            if _sender is None or _sender[0] != os.getpid():
                try:
                    _sender = (os.getpid(), _Sender())
                except Exception as error:  # a variable that the library cannot read, say
                    log.error("no spans are sent: %s", type(error).__name__)
                    _on = False
                    return None
    return _sender[1]


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # somebody may have held it when the process was forked


os.register_at_fork(after_in_child=_after_fork)


class _Sender:
    """The library, set up for one process; its own environment variables (OTEL_…) hold."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        from config.version import program_version

        chosen = threading.local()

        class Ids(RandomIdGenerator):  # type: ignore[misc]  # the library may not be installed where types are checked
            """Random, but where an id is known beforehand."""

            def generate_trace_id(self) -> int:
                return getattr(chosen, "trace", None) or int(super().generate_trace_id())

            def generate_span_id(self) -> int:
                return getattr(chosen, "span", None) or int(super().generate_span_id())

        class Exporter(OTLPSpanExporter):  # type: ignore[misc]  # as above
            """Says seldom what the library would say for each batch."""

            told = -_TELL_SECONDS

            def export(self, spans: Any) -> Any:
                result = super().export(spans)
                if result is not SpanExportResult.SUCCESS and time.monotonic() - self.told >= _TELL_SECONDS:
                    self.told = time.monotonic()
                    log.warning("traces cannot be sent: the collector does not answer, or refuses them")
                return result

        named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        resource = {"service.version": program_version(), **({} if named else {"service.name": "longhand"})}
        every = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else _EVERY_MILLISECONDS
        self._chosen = chosen
        self._processor = BatchSpanProcessor(Exporter(), schedule_delay_millis=every)
        self._provider = TracerProvider(resource=Resource.create(resource), id_generator=Ids(), shutdown_on_exit=False)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("longhand")

    def emit(
        self,
        job_id: str,
        name: str,
        start: float,
        end: float,
        failed: str | None,
        within: str,
        own: str,
        attributes: Mapping[str, Any],
    ) -> None:
        """As the function of this name."""
        from opentelemetry.trace import Status, StatusCode

        context = self._within(job_id, within)
        span = self._begin(name, context, start, span=span_id(job_id, own) if own else None)
        span.set_attributes(_known({"longhand.job": job_id, **attributes}))
        if failed is not None:
            span.set_status(Status(StatusCode.ERROR, failed))
        span.end(_nanoseconds(max(end, start)))

    def requested(
        self,
        job_ids: Sequence[str],
        name: str,
        start: float,
        end: float,
        headers: Mapping[str, str],
        again: bool,
        attributes: Mapping[str, Any],
    ) -> None:
        """As the function of this name."""
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, SpanKind, get_current_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        links = []
        theirs = TraceContextTextMapPropagator().extract(dict(headers), Context())
        if get_current_span(theirs).get_span_context().is_valid:
            ours = [Link(self._root(job_id)) for job_id in job_ids]
            span = self._begin(name, theirs, start, kind=SpanKind.SERVER, links=ours)
            span.set_attributes(_known(attributes))
            span.end(_nanoseconds(end))
            links = [Link(span.get_span_context())]
        for job_id in job_ids:
            ids = {} if again else {"trace": trace_id(job_id), "span": span_id(job_id, "")}
            context = self._within(job_id, "") if again else Context()
            span = self._begin(name, context, start, kind=SpanKind.SERVER, links=links, **ids)
            span.set_attributes(_known({"longhand.job": job_id, **attributes}))
            span.end(_nanoseconds(end))

    def close(self) -> None:
        """End; sends what is left."""
        self._processor.shutdown()

    def _root(self, job_id: str, own: str = "") -> Any:
        """What other processes' spans refer to it by."""
        from opentelemetry.trace import SpanContext, TraceFlags

        trace = trace_id(job_id)
        # OTEL_TRACES_SAMPLER decides by the trace's id, so every process decides the same.
        flags = TraceFlags(int(self._provider.sampler.should_sample(None, trace, "job").decision.is_sampled()))
        return SpanContext(trace, span_id(job_id, own), is_remote=True, trace_flags=flags)

    def _within(self, job_id: str, own: str) -> Any:
        from opentelemetry.context import Context
        from opentelemetry.trace import NonRecordingSpan, set_span_in_context

        return set_span_in_context(NonRecordingSpan(self._root(job_id, own)), Context())

    def _begin(self, name: str, context: Any, start: float, **more: Any) -> Any:
        self._chosen.trace, self._chosen.span = more.pop("trace", None), more.pop("span", None)
        try:
            return self._tracer.start_span(name, context, start_time=_nanoseconds(start), **more)
        finally:
            self._chosen.trace = self._chosen.span = None


def trace_id(job_id: str) -> int:
    """The trace of a job: an id of ours has as many hexadecimal digits as a trace's."""
    try:
        found = int(job_id, 16) if len(job_id) == 32 else 0
    except ValueError:
        found = 0
    return found or _hash(job_id, 16)


def span_id(job_id: str, own: str) -> int:
    """The span of a job that others are parts of: the request that made it (empty), or a stage in chunks."""
    return _hash(f"{job_id}/{own}", 8)


def _hash(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big") or 1


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)
