"""The loaded models of one process: those in use stay, the least recently used goes first; and its one diariser."""

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock, RLock

from pipelines.engines import EngineSettings, Loader, Transcriber
from pipelines.engines.diarisers import Diariser, DiariserLoader, DiariserSettings
from pipelines.errors import ModelUnavailable, TransientError

_log = logging.getLogger(__name__)

OnChange = Callable[[list[dict[str, str]]], None]


class Holder:
    """Models by name; safe to ask from several threads, which then wait while one loads.

    Args:
        settings: How many to keep and which never to put out (``keep_models``, ``preload``). A model asked for besides
            those always finds room, if need be as the only one: at least one more than ``preload`` may be in memory.
        load: Loads one by name.
        on_change: Told what is in memory (as ``loaded`` has it) after every change.
    """

    def __init__(self, settings: EngineSettings, load: Loader, *, on_change: OnChange | None = None) -> None:
        self._settings = settings
        self._load = load
        self._on_change = on_change
        self._models: OrderedDict[str, Transcriber] = OrderedDict()
        self._lock = RLock()

    def get(self, name: str) -> Transcriber:
        """The loaded model; loads it, and puts the least recently used one out first, if need be.

        Raises:
            pipelines.errors.UnknownModel: No such model.
            pipelines.errors.ModelUnavailable: It cannot be fetched now.
            pipelines.errors.TransientError: It does not fit into memory, not even alone.
        """
        with self._lock:
            if name in self._models:
                self._models.move_to_end(name)
                return self._models[name]
            # Room is made before loading: two large models at once may be more than the device holds.
            if name not in self._settings.preload:
                self._evict(keep=max(0, self._room() - 1))
            model = self._models[name] = self._load_or_make_room(name)
            self._changed()
            return model

    def loaded(self) -> list[dict[str, str]]:
        """``{"name", "device", "compute_type"}`` of each model in memory, by name."""
        with self._lock:
            models = sorted(self._models.values(), key=lambda model: model.name)
            return [{"name": m.name, "device": m.device, "compute_type": m.compute_type} for m in models]

    def _room(self) -> int:
        """Models besides the preloaded ones."""
        return max(1, self._settings.keep_models - len(set(self._settings.preload)))

    def _load_or_make_room(self, name: str) -> Transcriber:
        _log.info("loading the model %s", name)
        try:
            return self._load(name, self._settings)
        except ModelUnavailable:
            raise
        except TransientError:  # out of memory: try again without the others that may go
            if not self._evict(keep=0):
                raise
            return self._load(name, self._settings)

    def _evict(self, *, keep: int) -> bool:
        """Put out all but the ``keep`` most recently used of the models that may go; whether any went."""
        free = [name for name in self._models if name not in self._settings.preload]
        gone = free[: max(0, len(free) - keep)]
        for name in gone:
            _log.info("putting the model %s out of memory", name)
            del self._models[name]
        if gone:
            gc.collect()  # a model's memory on the device is freed with its last reference
            self._changed()
        return bool(gone)

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change(self.loaded())


class OneDiariser:
    """The operator's diariser; safe to ask from several threads, which then wait while it loads.

    Args:
        settings: Which one.
        load: Loads it.
        on_change: Called when it has been loaded.
    """

    def __init__(
        self, settings: DiariserSettings, load: DiariserLoader, *, on_change: Callable[[], None] | None = None
    ) -> None:
        self._settings = settings
        self._load = load
        self._on_change = on_change
        self._diariser: Diariser | None = None
        self._lock = Lock()

    def get(self) -> Diariser:
        """The loaded diariser; one that could not be loaded is tried again the next time.

        Raises:
            pipelines.errors.UnknownModel: There is no such model.
            pipelines.errors.ModelUnavailable: It is not installed, or cannot be fetched now.
            pipelines.errors.TransientError: It does not fit into memory now.
        """
        with self._lock:
            if self._diariser is None:
                _log.info("loading the model %s for telling speakers apart", self._settings.model)
                self._diariser = self._load(self._settings)
                if self._on_change is not None:
                    self._on_change()
            return self._diariser

    def loaded(self) -> list[dict[str, str]]:
        """What is in memory, as ``Diarisers.loaded`` has it; never waits for it to load."""
        there = self._diariser
        kept = {"device": there.device, "compute_type": "float32", "kind": "diariser"} if there else {}
        return [{"name": there.name, **kept}] if there else []
