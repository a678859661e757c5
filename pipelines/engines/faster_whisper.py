"""Whisper by faster-whisper (CTranslate2), on a GPU or a CPU."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.documents import SAMPLE_RATE, Segment, Span, Warn, Word
from pipelines.engines import EngineSettings, Request, engine, gates
from pipelines.engines.decoding import Decoder, Output
from pipelines.engines.device import choose, cpu_threads
from pipelines.engines.failures import decoding_failure, loading_failure, out_of_memory
from pipelines.engines.phrases import phrases
from pipelines.engines.resolve import Resolved, fetch, resolve
from pipelines.engines.windows import WINDOW_SECONDS, Window, pack
from pipelines.errors import OptionsError

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

DEMO_WARNING = Warn(
    code="demo_model",
    detail="This was made with the demo model, which knows only its own small vocabulary of synthetic speech: "
    "choose a real model, such as small, for anything else.",
)
PROMPT_TOKENS = 223
"""Half of what the decoder holds, less one: prompt and hotwords together, so that the text finds room."""


class FasterWhisper:
    """A loaded Whisper model.

    Args:
        model: A ``faster_whisper.WhisperModel``.
        found: Where it came from.
        settings: The operator's.
    """

    def __init__(self, model: Any, found: Resolved, settings: EngineSettings) -> None:
        self.name = found.name
        self.device: str = model.model.device
        self.compute_type: str = model.model.compute_type
        self.warnings: Sequence[Warn] = (DEMO_WARNING,) if found.kind == "demo" else ()
        self.dropped: Counter[gates.Reason] = Counter()
        """Passages left out since loading, by reason."""
        self._model = model
        self._settings = settings
        self._decoder = Decoder(
            model, (found.name, found.location, self.device, self.compute_type), settings.batch_size
        )

    def language_probabilities(self, audio: Any) -> dict[str, float]:
        """Language code -> probability, by the first half minute of ``audio``."""
        if not self._model.model.is_multilingual:
            return {"en": 1.0}
        try:
            _, _, probabilities = self._model.detect_language(audio[: WINDOW_SECONDS * SAMPLE_RATE])
        except Exception as error:
            raise decoding_failure(error) from error
        return {language: float(probability) for language, probability in probabilities}

    def transcribe(self, audio: Any, spans: Sequence[Span], request: Request) -> Iterator[Segment]:
        """Segments of the speech in ``spans``, a phrase each, after every batch of windows.

        Word times are always found out, because phrases are placed by them; ``word_timestamps`` only says whether they
        are handed on.

        Raises:
            OptionsError: Another language than English of a model that knows no other.
        """
        if not self._model.model.is_multilingual and request.language != "en":
            raise OptionsError(f"The model {self.name} knows English only: choose another one, or set language to en.")
        numbers = itertools.count()
        windows = pack(spans, len(audio))
        heard = self._decoder.decode(audio, windows, self._options(request), temperature=request.temperature)
        for window, output in heard:
            for phrase in self._phrases(window, output):
                yield Segment(
                    id=next(numbers),
                    start=phrase[0].start,
                    end=phrase[-1].end,
                    text="".join(word.word for word in phrase).strip(),
                    language=request.language,
                    avg_logprob=output.avg_logprob,
                    no_speech_prob=output.no_speech_prob,
                    words=phrase if request.word_timestamps else [],
                )

    def _phrases(self, window: Window, output: Output) -> Iterator[list[Word]]:
        """A window's phrases in the audio's time, without those that nobody said."""
        if not output.words:
            return
        if gates.compression_ratio(output.text) > gates.REPETITIVE:
            output = self._without_loops(output)
        if reason := gates.drop_window(output.heard(window.seconds)):
            self._drop(reason)
            return
        for phrase in phrases(_restore(window, output.words)):
            seconds = phrase[-1].end - phrase[0].start
            if reason := gates.drop_phrase(replace(output, words=phrase).heard(seconds)):
                self._drop(reason)
            else:
                yield phrase

    def _without_loops(self, output: Output) -> Output:
        found = gates.loops([word.word for word in output.words])
        for _ in found:
            self._drop(gates.Reason.LOOP)
        gone = {number for copies in found for number in copies}
        return replace(output, words=[word for number, word in enumerate(output.words) if number not in gone])

    def _drop(self, reason: gates.Reason) -> None:
        self.dropped[reason] += 1
        _log.info("left out a passage that nobody seems to have said: %s", reason)

    def _options(self, request: Request) -> dict[str, Any]:
        hotwords = self._fit(request.hotwords, PROMPT_TOKENS)
        room = PROMPT_TOKENS - (len(self._tokens(hotwords)) if hotwords else 0)
        return {
            "language": request.language,
            "task": request.task,
            "beam_size": request.beam_size or self._settings.beam_size,
            "initial_prompt": self._fit(request.prompt, room, keep_end=True),
            "hotwords": hotwords,
            "word_timestamps": True,
            "without_timestamps": True,
        }

    def _tokens(self, text: str) -> list[int]:
        return list(self._model.hf_tokenizer.encode(text, add_special_tokens=False).ids)

    def _fit(self, text: str | None, tokens: int, *, keep_end: bool = False) -> str | None:
        """Text cut to the decoder's room, without which the library fails when prompt and hotwords are both long."""
        if not text or not text.strip() or tokens <= 0:
            return None
        text = " " + text.strip()
        ids = self._tokens(text)
        if len(ids) <= tokens:
            return text
        # A cut inside a letter of several tokens leaves a replacement character.
        return str(self._model.hf_tokenizer.decode(ids[-tokens:] if keep_end else ids[:tokens])).strip("\ufffd")


def _restore(window: Window, words: Sequence[Word]) -> list[Word]:
    """Words in the audio's time, to the millisecond, none beginning before the one before it has ended."""
    restored: list[Word] = []
    last = 0.0
    for word in words:
        start, end = (round(seconds, 3) for seconds in window.restore(word.start, word.end))
        start = max(last, start)
        last = max(start, end)
        restored.append(replace(word, start=start, end=last))
    return restored


@engine("faster-whisper")
def load(name: str, settings: EngineSettings) -> FasterWhisper:
    """Load a model, fetching its files if need be.

    Raises:
        UnknownModel: There is no such model.
        ModelUnavailable: It is not here and cannot be fetched now.
        TransientError: It does not fit into memory now.
        EngineError: It cannot be loaded on this machine.
    """
    found = resolve(name)
    folder = fetch(found, cache=settings.model_cache, timeout=settings.hub_timeout)
    device, compute_type = choose(settings)
    try:
        model = _open(folder, device, compute_type, settings)
    except Exception as error:
        if device == "cpu" or settings.device == "cuda" or out_of_memory(error):
            raise loading_failure(found.name, device, error) from error
        _log.warning("the GPU cannot be used, going on without it: %s", error)
        device, compute_type = choose(replace(settings, device="cpu", compute_type="default"))
        model = _open(folder, device, compute_type, settings)
    loaded = FasterWhisper(model, found, settings)
    for warning in loaded.warnings:
        _log.warning("model %s: %s", name, warning.detail)
    _log.info("loaded the model %s on %s in %s", name, loaded.device, loaded.compute_type)
    return loaded


def _open(folder: Path, device: str, compute_type: str, settings: EngineSettings) -> Any:
    import numpy as np
    from faster_whisper import WhisperModel

    model = WhisperModel(
        str(folder), device=device, compute_type=compute_type, cpu_threads=cpu_threads(settings.cpu_threads)
    )
    if device == "cuda":
        # CUDA's libraries are looked for on first use: better now than in the middle of somebody's job.
        model.encode(np.zeros((model.model.n_mels, model.feature_extractor.nb_max_frames), np.float32))
    return model
