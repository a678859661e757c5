"""pyannote.audio without what comes along with it: telemetry, libraries for another torch, and warnings in the log."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from pipelines.engines.diarisers import INSTALL, installed
from pipelines.errors import EngineError, ModelUnavailable

_log = logging.getLogger(__name__)
_TELEMETRY = "PYANNOTE_METRICS_ENABLED"
_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning_utilities", "opentelemetry", "torchcodec")
_lock = threading.Lock()


def bring_pyannote() -> Any:
    """The module ``pyannote.audio``, imported once.

    Raises:
        ModelUnavailable: It is not installed.
        EngineError: It is installed, but does not load on this machine.
    """
    # Whoever uses a recorder of other people's voices did not agree to tell somebody about it.
    os.environ[_TELEMETRY] = "0"
    # Threads that wait for work in a loop take the cores from each other where several processes share them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    require_pyannote()
    with _lock, quiet():
        if (there := sys.modules.get("pyannote.audio")) is not None:
            _silence_telemetry()
            return there
        try:
            _bring_torchaudio()
            import pyannote.audio
            import pyannote.audio.pipelines
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            raise EngineError(
                f"The libraries for telling speakers apart do not fit together: run `{INSTALL}` on the worker again."
            ) from error
        _silence_telemetry()
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        return pyannote.audio


def require_pyannote() -> None:
    """Raise ModelUnavailable unless it is installed."""
    if not installed():
        raise ModelUnavailable(f"Telling speakers apart is not installed on this worker: run `{INSTALL}` there.")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings of these libraries to themselves: they speak to programmers, not to operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _bring_torchaudio() -> None:
    """Import torchaudio, without its compiled part where that was built for another torch.

    The one on the package index is built for CUDA and needs its libraries. pyannote.audio only uses what is written in
    Python (mel bands, resampling), and torchaudio itself can do without the rest if it is told so.
    """
    try:
        import torchaudio
    except (OSError, ImportError, RuntimeError) as error:
        _log.info("torchaudio is used without its compiled part: %s", error)
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _absent_extension()
        import torchaudio  # noqa: F401  # what counts is that it can be imported


def _absent_extension() -> ModuleType:
    module = ModuleType("torchaudio._extension", "What torchaudio knows of its compiled part where there is none.")

    def refuse(function: Callable[..., Any]) -> Callable[..., Any]:
        def refused(*_: Any, **__: Any) -> Any:
            raise RuntimeError(f"{function.__name__} takes the compiled part of torchaudio, which cannot be loaded")

        return refused

    vars(module).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        _load_lib=lambda _: False,
        fail_if_no_align=refuse,
    )
    return module


def _silence_telemetry() -> None:
    """Make sure that nothing is reported even if somebody switches it on later."""
    os.environ[_TELEMETRY] = "0"
    metrics = sys.modules.get("pyannote.audio.telemetry.metrics")
    provider = getattr(metrics, "provider", None)
    if provider is not None:
        # Its thread ends, and what it is given from now on it throws away.
        with contextlib.suppress(Exception):
            provider.shutdown()
