"""What the GPUs of this machine do, as NVIDIA's library (nvidia-ml-py) tells; nothing where there is none of either."""

import logging
from typing import Any

log = logging.getLogger(__name__)


class Gpus:
    """Looks at all GPUs of the machine, whichever of them this process may use."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._missing = False

    def look(self) -> list[dict[str, Any]]:
        """``index``, ``uuid``, ``name`` of each; if it tells, ``utilisation``, ``memory_used`` and ``memory_total``.

        Utilisation is 0 to 1, memory is in bytes.
        """
        if self._nvml is None and not self._open():
            return []
        nvml = self._nvml
        try:
            found = [_of(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            # A driver that was changed, for one: the next look begins anew.
            log.debug("the GPUs cannot be looked at: %s", error)
            self._nvml = None
            return []
        return [gpu for gpu in found if gpu is not None]

    def _open(self) -> bool:
        if self._missing:
            return False
        try:
            import pynvml  # type: ignore[import-not-found,import-untyped,unused-ignore]  # where there are GPUs
        except ImportError:
            self._missing = True
            return False
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            log.debug("there is no GPU to look at: %s", error)
            return False
        self._nvml = pynvml
        return True


def _of(nvml: Any, index: int) -> dict[str, Any] | None:
    """What one tells; None if it has fallen off its bus."""
    try:
        gpu = nvml.nvmlDeviceGetHandleByIndex(index)
        found = {"index": index, "uuid": str(nvml.nvmlDeviceGetUUID(gpu)), "name": str(nvml.nvmlDeviceGetName(gpu))}
    except nvml.NVMLError as error:
        log.debug("GPU %d cannot be looked at: %s", index, error)
        return None
    # Not every GPU tells everything: one that is cut into parts (MIG) does not say how busy it is.
    try:
        found["utilisation"] = nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100
    except nvml.NVMLError as error:
        log.debug("GPU %d does not tell how busy it is: %s", index, error)
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
        found |= {"memory_used": int(memory.used), "memory_total": int(memory.total)}
    except nvml.NVMLError as error:
        log.debug("GPU %d does not tell how much memory it has: %s", index, error)
    return found
