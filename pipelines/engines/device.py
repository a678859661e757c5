"""Where a model runs, and in which numbers: found out once, in words an operator understands."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import math
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import EngineError

if TYPE_CHECKING:
    from pipelines.engines import EngineSettings

_log = logging.getLogger(__name__)

_PREFERRED = {"cuda": ("float16", "int8_float32", "float32"), "cpu": ("int8", "int8_float32", "float32")}
"""What ``default`` means: the quickest first that loses no words; old GPUs have no half precision."""
_CUDA_LIBRARIES = ("cublas/lib/libcublasLt.so.*", "cublas/lib/libcublas.so.*", "cudnn/lib/libcudnn*.so.*")


def choose(settings: EngineSettings) -> tuple[str, str]:
    """Device and compute type to load with.

    Raises:
        EngineError: The operator asks for a GPU that is not there, or numbers that the device does not know.
    """
    import ctranslate2

    device = settings.device
    if device != "cpu":
        load_cuda_libraries()
        gpus = ctranslate2.get_cuda_device_count()
        if device == "cuda" and not gpus:
            raise EngineError("No GPU can be seen by this worker: install its driver, or set WHISPER_DEVICE=cpu.")
        device = "cuda" if gpus else "cpu"
    return device, compute_type(device, settings.compute_type)


def compute_type(device: str, wanted: str) -> str:
    """The compute type that ``wanted`` means on a device.

    Raises:
        EngineError: The device does not support it.
    """
    import ctranslate2

    there = ctranslate2.get_supported_compute_types(device)
    if wanted == "default":
        return next(name for name in _PREFERRED[device] if name in there)
    if wanted != "auto" and wanted not in there:
        raise EngineError(
            f"The compute type {wanted} is not supported on {device}: "
            f"set WHISPER_COMPUTE_TYPE to default or to one of {', '.join(sorted(there))}."
        )
    return wanted


@cache
def load_cuda_libraries() -> None:
    """Load the CUDA libraries of the nvidia wheels, if they are installed, so that no LD_LIBRARY_PATH is needed."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        for pattern in _CUDA_LIBRARIES:
            for library in sorted(Path(folder).glob(pattern)):
                try:
                    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
                except OSError as error:
                    _log.warning("cannot load %s: %s", library.name, error)


def cpu_threads(wanted: int) -> int:
    """Threads for one model: ``wanted``, or as many cores as this process may use."""
    if wanted > 0:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cores()
    return max(1, min(cores, quota) if quota else cores)


def _cgroup_cores() -> int | None:
    """Cores that a container's limit leaves, rounded up; more threads than that only wait for each other."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no limit, or not that kind of machine
        return None
