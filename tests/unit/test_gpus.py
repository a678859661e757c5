"""Looking at GPUs, with a library that stands in for NVIDIA's; and without one."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.gpus import Gpus

LIBRARY = Path(__file__).resolve().parents[1] / "plugins" / "nvml"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What the library tells is written here."""
    path = tmp_path / "gpus.json"
    monkeypatch.setenv("LONGHAND_TEST_GPUS", str(path))
    monkeypatch.syspath_prepend(LIBRARY)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    yield path
    sys.modules.pop("pynvml", None)


def test_what_a_gpu_does_not_tell_is_left_out(told: Path) -> None:
    whole = {"uuid": "GPU-1", "name": "H", "busy": 37, "used": 5}
    cut = {"uuid": "GPU-2", "name": "H", "used": 6}
    lost = {"name": "H"}
    told.write_text(json.dumps([whole, lost, cut, {"uuid": "GPU-4", "name": "old"}]))
    assert Gpus().look() == [
        {
            "index": 0,
            "uuid": "GPU-1",
            "name": "H",
            "utilisation": 0.37,
            "memory_used": 5,
            "memory_total": 80 << 30,
        },
        {"index": 2, "uuid": "GPU-2", "name": "H", "memory_used": 6, "memory_total": 80 << 30},
        {"index": 3, "uuid": "GPU-4", "name": "old"},
    ]


def test_a_driver_that_comes_and_goes_is_no_error(told: Path) -> None:
    gpus, one = Gpus(), json.dumps([{"uuid": "GPU-1", "name": "H"}])
    for text, count in (('"no driver"', 0), (one, 1), ('"reset"', 0), ('"reset"', 0), (one, 1), ("[]", 0)):
        told.write_text(text)
        assert len(gpus.look()) == count


def test_without_the_library_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    gpus = Gpus()
    assert gpus.look() == [] and gpus.look() == []
