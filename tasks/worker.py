"""What a worker process holds: settings, store, stages, flow, and the models in its memory."""

import logging
import shutil
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from celery import Celery

from config.settings import Settings
from pipelines.engines import EngineSettings, Models, Transcriber, loader
from pipelines.engines.diarisers import Diarisers, DiariserSettings, diariser_loader
from pipelines.errors import LonghandError
from pipelines.stage import Limits, Stage, discover
from store import Store, open_store
from store.events import PRESENCE_SECONDS
from store.steps import Piece
from tasks.app import make_app
from tasks.capacity import Capacity
from tasks.flow import Flow
from tasks.gpus import Gpus

log = logging.getLogger(__name__)


class AliasedModels:
    """Models by the names that requests use."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self._models = models
        self._aliases = settings.whisper_aliases

    def get(self, name: str) -> Transcriber:
        """The loaded model."""
        return self._models.get(self._aliases.get(name, name))

    def loaded(self) -> list[dict[str, str]]:
        """What is in memory."""
        return self._models.loaded()


@dataclass
class Worker:
    """Everything tasks need; made once in the worker's parent and handed to its children by the fork."""

    settings: Settings
    store: Store
    stages: dict[str, Stage]
    app: Celery
    name: str = "worker"
    """The node's name, as Flower shows it."""
    queues: list[str] = field(default_factory=list)
    """The queues it serves, once it has started."""
    gpus: Gpus = field(default_factory=Gpus)
    """Those of this machine."""

    @cached_property
    def flow(self) -> Flow:
        """Puts further work on the queues."""
        return Flow(self.app, self.store, self.stages, Capacity(self.store.events, self.settings))

    @cached_property
    def limits(self) -> Limits:
        """What the operator allows."""
        s = self.settings
        return Limits(
            max_audio_seconds=s.max_audio_hours * 3600,
            ffmpeg_seconds=s.ffmpeg_timeout_seconds,
            max_source_bytes=s.max_upload_bytes,
            fetch_seconds=s.fetch_timeout_seconds,
            allow_private_urls=s.allow_private_urls,
        )

    @cached_property
    def models(self) -> AliasedModels:
        """The models of this process; nothing is loaded yet."""
        from pipelines.engines.holder import Holder

        s = self.settings
        preload = tuple(dict.fromkeys(s.whisper_aliases.get(m, m) for m in s.whisper_models))
        settings = EngineSettings(
            device=s.whisper_device,
            compute_type=s.whisper_compute_type,
            beam_size=s.whisper_beam_size,
            batch_size=s.whisper_batch_size,
            cpu_threads=s.whisper_cpu_threads,
            keep_models=s.whisper_keep_models,
            preload=preload,
            model_cache=s.model_cache,
        )
        return AliasedModels(Holder(settings, loader(s.whisper_engine), on_change=lambda _: self.announce()), s)

    @cached_property
    def diarisers(self) -> Diarisers:
        """Where stages get the diariser of this process from; nothing is loaded yet."""
        from pipelines.engines.holder import OneDiariser

        s = self.settings
        settings = DiariserSettings(
            model=s.diarisation_model,
            device=s.whisper_device,
            token=s.hf_token.get_secret_value() if s.hf_token else None,
            cpu_threads=s.whisper_cpu_threads,
            model_cache=s.model_cache,
        )
        return OneDiariser(settings, diariser_loader(s.diarisation_engine), on_change=self.announce)

    def announce(self) -> None:
        """Tell everybody which models are in this process's memory, and what the machine's GPUs do."""
        # What nobody asked for yet is not made for this.
        made = [vars(self)[name] for name in ("models", "diarisers") if name in vars(self)]
        self.store.events.holds(self.name, [model for one in made for model in one.loaded()])
        if gpus := self.gpus.look():
            self.store.events.sees(self.name, gpus)

    def keep_announcing(self) -> None:
        """Tell it again and again, for as long as the process lives: what is told is forgotten after a while."""

        def tell() -> None:
            while True:
                time.sleep(PRESENCE_SECONDS / 3)
                self.announce()

        threading.Thread(target=tell, name="announce", daemon=True).start()

    def serves(self, *tools: str) -> bool:
        """Whether one of its queues brings work that needs one of these: ``models``, ``diarisers``."""
        return any(s.needs & {*tools} and s.queue in self.queues for s in self.stages.values())

    def preload(self) -> None:
        """Load the models that every request may want. A failure is logged; the jobs that need them will say so too."""
        for name in self.settings.whisper_models:
            try:
                self.models.get(name)
            except LonghandError as error:
                log.error("model %s cannot be loaded: %s", name, error.detail)

    def scratch(self, piece: Piece, claim: str) -> Path:
        """Folder for the files that one run has in the making."""
        return self.settings.scratch / f"{piece.job_id}-{piece.stage}-{piece.item}-{claim}"

    def clear_scratch(self, job_id: str) -> None:
        """Remove what runs that died may have left."""
        for folder in self.settings.scratch.glob(f"{job_id}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def tools(self, stage: Stage) -> dict[str, Any]:
        """What a stage asked to be handed."""
        return {
            "limits": self.limits,
            "models": self.models if "models" in stage.needs else None,
            "diarisers": self.diarisers if "diarisers" in stage.needs else None,
        }


def make_worker(settings: Settings) -> Worker:
    """The worker these settings describe; nothing is connected or loaded yet."""
    stages = dict(discover(settings.plugins))
    return Worker(settings=settings, store=open_store(settings), stages=stages, app=make_app(settings, stages))
