import shutil
import threading
from dataclasses import replace
from functools import cache

import pytest

from pipelines.engines import EngineSettings, Transcriber, loader
from pipelines.engines.holder import Holder
from pipelines.engines.resolve import demo_folder
from pipelines.errors import ModelUnavailable, TransientError, UnknownModel

SETTINGS = EngineSettings(device="cpu", cpu_threads=1, keep_models=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three real models in three folders."""
    root = tmp_path_factory.mktemp("models")
    return [str(shutil.copytree(demo_folder(), root / name)) for name in ("one", "two", "three")]


@cache
def model_of(name: str) -> Transcriber:
    """A real model; each is read once for all tests, as what counts is what the holder asks for and holds."""
    return loader("faster-whisper")(name, SETTINGS)


class Shelf:
    """A holder that writes down what is loaded and what is in memory after every change."""

    def __init__(self, **changes) -> None:
        self.loads: list[str] = []
        self.seen: list[list[str]] = []
        self.refuse: list[Exception] = []
        self.holder = Holder(
            replace(SETTINGS, **changes),
            self._load,
            on_change=lambda models: self.seen.append([m["name"] for m in models]),
        )

    def _load(self, name, settings):
        self.loads.append(name)
        if self.refuse:
            raise self.refuse.pop()
        return model_of(name)

    @property
    def names(self) -> list[str]:
        return [model["name"] for model in self.holder.loaded()]


def test_the_least_recently_used_goes_first_and_before_the_next_comes(folders):
    one, two, three = folders
    shelf = Shelf()
    first = shelf.holder.get(one)
    shelf.holder.get(two)
    assert shelf.holder.get(one) is first
    shelf.holder.get(three)
    assert shelf.names == ["one", "three"]
    assert shelf.loads == [one, two, three]
    assert shelf.seen == [["one"], ["one", "two"], ["one"], ["one", "three"]]
    assert shelf.holder.loaded()[0] == {"name": "one", "device": "cpu", "compute_type": "int8_float32"}


def test_preloaded_models_stay_and_another_still_finds_room(folders):
    one, two, three = folders
    shelf = Shelf(preload=(one, two), keep_models=1)
    shelf.holder.get(one)
    shelf.holder.get(two)
    shelf.holder.get(three)
    assert shelf.names == ["one", "three", "two"]
    shelf.holder.get("demo")
    assert shelf.names == ["demo", "one", "two"]


def test_a_preloaded_model_puts_nothing_out(folders):
    one, two, _ = folders
    shelf = Shelf(preload=(two,), keep_models=2)
    shelf.holder.get(one)
    shelf.holder.get(two)
    assert shelf.names == ["one", "two"]


def test_one_load_serves_all_threads(folders):
    shelf = Shelf()
    got = []
    threads = [threading.Thread(target=lambda: got.append(shelf.holder.get(folders[0]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shelf.loads) == 1
    assert len(got) == 4
    assert len(set(map(id, got))) == 1


def test_out_of_memory_at_loading_makes_room_and_tries_again(folders):
    one, two, _ = folders
    shelf = Shelf()
    shelf.holder.get(one)
    shelf.refuse = [TransientError("no memory")]
    shelf.holder.get(two)
    assert shelf.names == ["two"]
    shelf.refuse = [TransientError("no memory"), TransientError("no memory")]
    with pytest.raises(TransientError):
        shelf.holder.get(one)
    assert shelf.names == []


def test_a_model_that_cannot_be_had_costs_no_other(folders):
    shelf = Shelf()
    shelf.holder.get(folders[0])
    shelf.refuse = [ModelUnavailable("no hub")]
    with pytest.raises(ModelUnavailable):
        shelf.holder.get(folders[1])
    with pytest.raises(UnknownModel):
        shelf.holder.get("nonsense")
    assert shelf.names == ["one"]
