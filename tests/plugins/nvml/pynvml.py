"""A stand-in for NVIDIA's library on machines without a GPU: it tells what the file LONGHAND_TEST_GPUS says."""

import json
import os
from pathlib import Path
from types import SimpleNamespace


class NVMLError(Exception):
    """As the library's."""


def _gpus() -> list[dict[str, object]]:
    found = json.loads(Path(os.environ["LONGHAND_TEST_GPUS"]).read_text())
    if not isinstance(found, list):
        raise NVMLError(found)
    return found


def nvmlInit() -> None:
    _gpus()


def nvmlDeviceGetCount() -> int:
    return len(_gpus())


def nvmlDeviceGetHandleByIndex(index: int) -> dict[str, object]:
    return _gpus()[index]


def _told(gpu: dict[str, object], name: str) -> object:
    if name not in gpu:
        raise NVMLError(f"no {name}")
    return gpu[name]


def nvmlDeviceGetUUID(gpu: dict[str, object]) -> object:
    return _told(gpu, "uuid")


def nvmlDeviceGetName(gpu: dict[str, object]) -> object:
    return _told(gpu, "name")


def nvmlDeviceGetUtilizationRates(gpu: dict[str, object]) -> SimpleNamespace:
    return SimpleNamespace(gpu=_told(gpu, "busy"), memory=0)


def nvmlDeviceGetMemoryInfo(gpu: dict[str, object]) -> SimpleNamespace:
    return SimpleNamespace(used=_told(gpu, "used"), total=80 << 30, free=0)
