"""A pyannote.audio pipeline brought into memory, on the device that is there."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
from typing import Any

from pipelines.documents import SAMPLE_RATE
from pipelines.engines.device import cpu_threads
from pipelines.engines.diarisers import DiariserSettings
from pipelines.engines.failures import OUT_OF_MEMORY, out_of_memory
from pipelines.engines.pyannote_files import Files
from pipelines.engines.pyannote_import import bring_pyannote, quiet
from pipelines.errors import EngineError, LonghandError, TransientError

_log = logging.getLogger(__name__)

_BATCHES = {"cpu": (8, 2), "cuda": (32, 16)}
"""Windows that are segmented, and embedded, at once. On a CPU more are no quicker, and progress is told after each."""


def open_pipeline(files: Files, settings: DiariserSettings) -> tuple[Any, str]:
    """The pipeline, and the device it is on: without a GPU that can be used, ``auto`` means the CPU.

    Raises:
        ModelUnavailable: pyannote.audio is not installed.
        TransientError: It does not fit into memory now.
        EngineError: It cannot be loaded on this machine.
    """
    library = bring_pyannote()
    device = _device(settings)
    try:
        return _open(library, files, device, settings), device
    except Exception as error:
        if device == "cpu" or settings.device == "cuda" or out_of_memory(error):
            raise _failure(files.found.name, device, error) from error
        _log.warning("the GPU cannot be used to tell speakers apart, going on without it: %s", error)
    try:
        return _open(library, files, "cpu", settings), "cpu"
    except Exception as error:
        raise _failure(files.found.name, "cpu", error) from error


def _device(settings: DiariserSettings) -> str:
    import torch

    with quiet():
        there = settings.device != "cpu" and torch.cuda.is_available()
    if settings.device == "cuda" and not there:
        raise EngineError(
            "No GPU can be seen by PyTorch on this worker: install its driver, or set WHISPER_DEVICE=cpu."
        )
    return "cuda" if there else "cpu"


def _open(library: Any, files: Files, device: str, settings: DiariserSettings) -> Any:
    import torch

    from pipelines.engines.networks.shared_frames import SharedFrames, UnitVoices

    if device == "cpu":
        torch.set_num_threads(cpu_threads(settings.cpu_threads))
    # The library prints what it has to say.
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        pipeline = library.Pipeline.from_pretrained(copy.deepcopy(files.config))
        pipeline.to(torch.device(device))
        if SharedFrames.fits(pipeline):
            object.__setattr__(pipeline, "__class__", SharedFrames)
        if UnitVoices.fits(pipeline):
            object.__setattr__(pipeline.clustering, "__class__", UnitVoices)
        if hasattr(pipeline, "legacy"):
            pipeline.legacy = False
        if hasattr(pipeline, "segmentation_batch_size"):
            pipeline.segmentation_batch_size, pipeline.embedding_batch_size = _BATCHES[device]
        # CUDA's libraries are looked for on first use: better now than in the middle of somebody's job.
        noise = torch.rand(1, 2 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0)) - 0.5
        pipeline({"waveform": noise, "sample_rate": SAMPLE_RATE, "uri": "trial"})
    return pipeline


def _failure(name: str, device: str, error: Exception) -> LonghandError:
    if isinstance(error, LonghandError):
        return error
    if out_of_memory(error):
        return TransientError(
            f"There is not enough memory to load the model {name} for telling speakers apart: wait until other work "
            "is done.",
            code=OUT_OF_MEMORY,
        )
    if device == "cuda":
        return EngineError(f"The model {name} cannot be run on the GPU by PyTorch: set WHISPER_DEVICE=cpu.")
    return EngineError(
        f"The model {name} for telling speakers apart cannot be loaded: check DIARISATION_MODEL, "
        "or ask the operator for the worker's log."
    )
