"""A collector of traces: takes what a real exporter sends over OTLP and keeps the spans."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass(frozen=True)
class Span:
    name: str
    trace: str
    id: str
    parent: str
    links: list[tuple[str, str]]
    start: float
    end: float
    failed: str | None
    facts: dict[str, Any]
    service: dict[str, Any]


@dataclass
class Collector:
    url: str
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: bytes = b""
    answer: int = 200
    """What exporters are answered."""

    def of(self, job_id: str) -> list[Span]:
        """The trace of a job, as far as it is here."""
        return [span for span in list(self.spans) if span.trace == job_id]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a port that was free."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            if collector.answer == 200 and self.path == "/v1/traces":
                collector.raw += body
                collector.headers.append(dict(self.headers))
                collector.spans += _spans(ExportTraceServiceRequest.FromString(body))
            self.send_response(collector.answer)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(
            name=span.name,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
            start=span.start_time_unix_nano / 1e9,
            end=span.end_time_unix_nano / 1e9,
            failed=span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else None,
            facts={one.key: _value(one.value) for one in span.attributes},
            service={one.key: _value(one.value) for one in resource.resource.attributes},
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
