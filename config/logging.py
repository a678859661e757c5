"""One line per event, for people or for machines, from our own code and from every library alike."""

import logging
import sys
import threading
from typing import Any

import structlog

from config.redaction import redaction
from config.settings import Settings

CELERY_CHATTER = ("celery.worker.strategy", "celery.app.trace")


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """The last to see a line, with traceback and all: no secret passes."""

    def __init__(self, settings: Settings, **more: Any) -> None:
        super().__init__(**more)
        self._redact = redaction(settings)

    def format(self, record: logging.LogRecord) -> str:
        """The line as it is written."""
        return self._redact(super().format(record))


def configure(settings: Settings) -> None:
    """Send all logging of this process to stderr in the format the operator chose."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any
    if settings.log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
        _log_what_python_prints()
    else:
        # Plain tracebacks: the rich ones print every local variable, which may be somebody's words.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Formatter(
            settings,
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    _quieten(least=root.level)


def _quieten(*, least: int) -> None:
    """Keep out of the log what only drowns the rest."""
    # Per-request chatter of these libraries drowns what an operator looks for.
    # Celery's two lines a task say less than our two.
    for noisy in ("httpx", "httpcore", "faster_whisper", "urllib3", "filelock", "alembic", *CELERY_CHATTER):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, least))
    # A collector of traces that is away would fill the log; config.tracing says it now and then.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


def _log_what_python_prints() -> None:
    """Warnings, and errors that nobody catches, would be the only lines that no machine can read."""
    logging.captureWarnings(True)
    log = logging.getLogger("python")

    def ends(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("the process ends by an error", exc_info=(kind, error, trace))

    def thread_ends(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None and not issubclass(told.exc_type, SystemExit):
            name = told.thread.name if told.thread is not None else None
            exc_info = (told.exc_type, told.exc_value, told.exc_traceback)
            log.error("a thread ends by an error", exc_info=exc_info, extra={"thread_name": name})

    sys.excepthook = ends
    threading.excepthook = thread_ends
