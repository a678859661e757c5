"""Telling speakers apart by pyannote.audio, on a GPU or a CPU."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.documents import SAMPLE_RATE, Turn, Turns, Voice, Warn
from pipelines.engines.diarisers import DiariserSettings, Recording, SpeakerCount, diariser_engine
from pipelines.engines.failures import OUT_OF_MEMORY, out_of_memory
from pipelines.engines.long_recordings import parts_of
from pipelines.engines.pyannote_files import Files, diariser_files
from pipelines.engines.pyannote_import import quiet, require_pyannote
from pipelines.engines.pyannote_loading import open_pipeline
from pipelines.engines.pyannote_progress import Told
from pipelines.engines.voice_scores import Scorer
from pipelines.errors import EngineError, LonghandError, TransientError
from pipelines.voices import join, numbered, seconds_by_speaker, tidy, without_tiny

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

_log = logging.getLogger(__name__)

DEMO_WARNING = Warn(
    code="demo_diariser",
    detail="The speakers were told apart with the demo model, which knows only synthetic voices: "
    "set DIARISATION_MODEL to a real one for recordings of people.",
)
_FAINT = 3e-4
"""Ten steps of 16 bits: in audio that never gets louder there is nobody, but the model would hear somebody."""
_BATCHES = ("segmentation_batch_size", "embedding_batch_size")
_LEAST_SECONDS = 0.1
_REFERENCE_SECONDS = 30.0
_WINDOW_SECONDS, _REPEATED_SECONDS = 10.0, 1.0
"""What the networks look at at once, and the shortest reference that is said over and over to fill it."""
_MOST_CLUSTER = 20
"""The library's limit for the smallest cluster."""
_TUNED_SECONDS = 75.0
"""How long recordings are, about, for which a pipeline's smallest cluster was chosen."""


@dataclass(frozen=True)
class Part:
    """What was heard in one part of a recording, in the recording's own time."""

    turns: list[Turn]
    voices: dict[str, list[float]]
    """Of each speaker in the turns; empty if there was too little to go by."""


class Pyannote:
    """A loaded pipeline.

    Args:
        pipeline: A ``pyannote.audio.Pipeline``.
        files: Where it came from.
        device: Where it runs.
        settings: The operator's.
    """

    def __init__(self, pipeline: Any, files: Files, device: str, settings: DiariserSettings) -> None:
        self.name = files.found.name
        self.device = device
        self.warnings: Sequence[Warn] = (DEMO_WARNING,) if files.found.kind == "demo" else ()
        self._pipeline = pipeline
        self._settings = settings
        self._scorer = Scorer(pipeline)
        self._smallest = self._cluster_size()
        self._sizes = {name: getattr(pipeline, name, 1) for name in _BATCHES}

    def diarise(self, recording: Recording, count: SpeakerCount, progress: Callable[[float, float], None]) -> Turns:
        """Who speaks when; see ``Diariser``."""
        told = Told(progress, recording.duration)
        told.at(0.0)
        for name, size in self._sizes.items():  # what did not fit beside somebody's work may fit now
            setattr(self._pipeline, name, size)
        parts = parts_of(recording, self._settings.part_seconds)
        least, most = count.exactly or count.at_least or 1, count.exactly or count.at_most
        if len(parts) == 1:
            turns, voices = self._whole([self._part(recording, parts[0], told, count)], least, most)
        else:
            # A part may well hold fewer than all speakers, but not more.
            free = SpeakerCount(at_most=most)
            turns, voices = self._whole([self._part(recording, part, told, free) for part in parts], 1, most)
            if 0 < len(voices) < least:
                _log.info("%d speakers were heard, but %d speak: listening once more", len(voices), least)
                forced = SpeakerCount(at_least=least, at_most=most)
                told.once_more()
                try:
                    again = [self._part(recording, part, told, forced) for part in parts]
                    turns, voices = self._whole(again, least, most)
                except LonghandError as error:
                    if error is told.raised:
                        raise
                    _log.warning("what was heard the first time has to do: %s", error.detail)
        told.at(recording.duration)
        self._let_go()
        return Turns(turns=turns, voices=voices, model=self.name, warnings=list(self.warnings))

    def embed(self, audio: Any) -> list[float] | None:
        """What the person speaking in ``audio`` sounds like; None: nobody does."""
        import numpy as np

        audio = np.nan_to_num(np.asarray(audio, np.float32))[: int(_REFERENCE_SECONDS * SAMPLE_RATE)]
        if _REPEATED_SECONDS * SAMPLE_RATE <= len(audio) < (window := int(_WINDOW_SECONDS * SAMPLE_RATE)):
            # Behind a shorter voice the library puts digital silence, which changes what the voice sounds like.
            audio = np.tile(audio, -(-window // len(audio)))[:window]
        part = self._hear(audio, (0.0, len(audio) / SAMPLE_RATE), Told(lambda *_: None, 1.0), SpeakerCount(exactly=1))
        seconds = seconds_by_speaker(part.turns)
        longest = max(seconds, key=lambda speaker: seconds[speaker], default=None)
        return (part.voices[longest] or None) if longest is not None else None

    def similarity(self, one: Sequence[float], other: Sequence[float]) -> float:
        """How alike two voices are: above zero as alike as the pipeline takes one person to be with themselves."""
        return float(self._scorer.table([one, other])[0, 1])

    def _whole(self, parts: Sequence[Part], least: int, most: int | None) -> tuple[list[Turn], list[Voice]]:
        """The parts as one, with the same speaker throughout for whoever speaks in several."""
        names = [(number, name) for number, part in enumerate(parts) for name in part.voices]
        if not names:
            return [], []
        vectors = [parts[number].voices[name] for number, name in names]
        seconds = [seconds_by_speaker(parts[number].turns)[name] for number, name in names]
        if len(parts) == 1:
            speakers = list(range(len(names)))
        else:
            speakers = join(
                self._scorer.table(vectors), [number for number, _ in names], seconds, at_least=least, at_most=most
            )
        speaker_of = {name: str(speaker) for name, speaker in zip(names, speakers, strict=True)}
        turns = [
            turn.model_copy(update={"speaker": speaker_of[number, turn.speaker]})
            for number, part in enumerate(parts)
            for turn in part.turns
        ]
        turns, renamed = numbered(without_tiny(tidy(turns), at_least=least))
        voices = [
            Voice(
                speaker=name,
                embedding=_mean(
                    [(v, s) for v, s, speaker in zip(vectors, seconds, speakers, strict=True) if str(speaker) == before]
                ),
            )
            for before, name in renamed.items()
        ]
        return turns, voices

    def _part(self, recording: Recording, part: tuple[float, float], told: Told, count: SpeakerCount) -> Part:
        return self._hear(recording.read(*part), part, told, count)

    def _hear(self, audio: Audio, part: tuple[float, float], told: Told, count: SpeakerCount) -> Part:
        if len(audio) < _LEAST_SECONDS * SAMPLE_RATE or max(float(audio.max()), -float(audio.min())) < _FAINT:
            told.at(part[1])
            return Part([], {})
        while True:
            try:
                return self._understand(self._run(audio, part, told, count), audio, part)
            except Exception as error:
                if error is told.raised:
                    raise
                if not out_of_memory(error) or not self._shrink():
                    raise _failure(error) from error

    def _run(self, audio: Audio, part: tuple[float, float], told: Told, count: SpeakerCount) -> Any:
        import numpy as np
        import torch

        self._fit_clusters(len(audio) / SAMPLE_RATE)
        waveform = torch.from_numpy(np.require(audio, requirements=["C", "W"]))[None]
        with quiet():
            return self._pipeline(
                {"waveform": waveform, "sample_rate": SAMPLE_RATE, "uri": "recording"},
                num_speakers=count.exactly,
                min_speakers=count.at_least,
                max_speakers=count.at_most,
                hook=told.within(*part),
            )

    def _understand(self, output: Any, audio: Audio, part: tuple[float, float]) -> Part:
        import numpy as np

        start, end = part
        alone = getattr(output, "exclusive_speaker_diarization", output)
        turns = [
            Turn(start=round(max(start, start + s.start), 3), end=round(min(end, start + s.end), 3), speaker=str(label))
            for s, _, label in alone.itertracks(yield_label=True)
        ]
        turns = [turn for turn in turns if turn.end > turn.start]
        voices: dict[str, list[float]] = {}
        vectors = getattr(output, "speaker_embeddings", None)
        known = dict(zip(output.speaker_diarization.labels(), vectors, strict=True)) if vectors is not None else {}
        for speaker in seconds_by_speaker(turns):
            vector: Any = known.get(speaker)
            usable = vector is not None and np.isfinite(vector).all() and np.any(vector)
            voices[speaker] = [float(x) for x in vector] if usable else self._listen_to(speaker, turns, audio, start)
        return Part(turns, voices)

    def _listen_to(self, speaker: str, turns: Sequence[Turn], audio: Audio, start: float) -> list[float]:
        """The voice of somebody who said too little for the pipeline to describe it."""
        import numpy as np
        import torch

        network = getattr(self._pipeline, "_embedding", None)
        pieces = [
            audio[round((t.start - start) * SAMPLE_RATE) : round((t.end - start) * SAMPLE_RATE)]
            for t in turns
            if t.speaker == speaker
        ]
        said = np.concatenate(pieces)[: int(_REFERENCE_SECONDS * SAMPLE_RATE)]
        if network is None or len(said) < network.min_num_samples:
            return []
        with quiet():
            vector = network(torch.from_numpy(said)[None, None])[0]
        return [float(x) for x in vector] if np.isfinite(vector).all() and np.any(vector) else []

    def _cluster_size(self) -> int | None:
        size = getattr(getattr(self._pipeline, "clustering", None), "min_cluster_size", None)
        return size if isinstance(size, int) else None

    def _fit_clusters(self, seconds: float) -> None:
        """In a long recording a handful of odd windows is no speaker, though in a short one it may be."""
        if self._smallest is None:
            return
        size = min(_MOST_CLUSTER, round(self._smallest * max(1.0, (seconds / _TUNED_SECONDS) ** 0.5)))
        parameters = self._pipeline.parameters(instantiated=True)
        parameters["clustering"]["min_cluster_size"] = max(self._smallest, size)
        self._pipeline.instantiate(parameters)

    def _shrink(self) -> bool:
        """Halve what is computed at once; whether there was anything to halve."""
        sizes = {name: getattr(self._pipeline, name, 1) for name in _BATCHES}
        if max(sizes.values()) <= 1:
            return False
        for name, size in sizes.items():
            setattr(self._pipeline, name, max(1, size // 2))
        _log.warning("out of memory with the model %s: going on with half as much at once", self.name)
        self._let_go()
        return True

    def _let_go(self) -> None:
        """Give memory of the device back that is not in use: another process may transcribe on it."""
        import torch

        gc.collect()
        if self.device != "cpu" and torch.cuda.is_available():
            torch.cuda.empty_cache()


def _mean(voices: Sequence[tuple[list[float], float]]) -> list[float]:
    """The voice of somebody heard in several parts, the longer the more it counts."""
    known = [(vector, seconds) for vector, seconds in voices if vector]
    total = sum(seconds for _, seconds in known)
    if not known or total <= 0:
        return []
    return [sum(v[i] * s for v, s in known) / total for i in range(len(known[0][0]))]


def _failure(error: Exception) -> LonghandError:
    if isinstance(error, LonghandError):
        return error
    if out_of_memory(error):
        detail = "There is not enough memory to tell the speakers apart: wait until other work is done."
        return TransientError(detail, code=OUT_OF_MEMORY)
    return EngineError("Telling the speakers apart failed on this recording: ask the operator for the worker's log.")


@diariser_engine("pyannote")
def load(settings: DiariserSettings) -> Pyannote:
    """Load the operator's pipeline, fetching its files if need be.

    Raises:
        UnknownModel: There is no such pipeline.
        ModelUnavailable: pyannote.audio is not installed, or the files are not here and cannot be fetched now.
        TransientError: It does not fit into memory now.
        EngineError: It cannot be loaded on this machine.
    """
    require_pyannote()
    files = diariser_files(settings)
    pipeline, device = open_pipeline(files, settings)
    loaded = Pyannote(pipeline, files, device, settings)
    for warning in loaded.warnings:
        _log.warning("%s", warning.detail)
    _log.info("loaded the model %s for telling speakers apart on %s", loaded.name, device)
    return loaded
