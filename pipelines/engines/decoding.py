"""Windows of speech through a faster-whisper model: in batches, again where the text is unsound, within memory."""

from __future__ import annotations

import gc
import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.documents import SAMPLE_RATE, Word
from pipelines.engines import gates
from pipelines.engines.failures import decoding_failure, out_of_memory
from pipelines.engines.windows import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

_log = logging.getLogger(__name__)

RETRY_TEMPERATURES = (0.2, 0.4, 0.6)
"""Tried in turn on a window whose text is improbable or goes in circles; hotter than that it only invents."""

_FRAMES = 100
"""faster-whisper counts window starts in frames of so many a second, rounding down."""
_GRID = 2 * SAMPLE_RATE // _FRAMES
"""Windows begin two frames apart at least, so that a start rounded down is still no other window's."""
_NOTHING_SURE = -10.0
"""What a log-probability that is no number becomes; JSON cannot hold it."""

_fitting: dict[tuple[str, ...], int] = {}
"""The batch that fitted after memory ran out, by model and device, for the life of the process."""


@dataclass(frozen=True)
class Output:
    """What the decoder made of a window; times count from the window's start."""

    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    words: Sequence[Word] = ()

    @property
    def text(self) -> str:
        """The words joined."""
        return "".join(word.word for word in self.words)

    def heard(self, seconds: float) -> gates.Heard:
        """What the gates look at."""
        probabilities = [word.probability for word in self.words]
        return gates.Heard(self.text, seconds, self.avg_logprob, self.no_speech_prob, probabilities)


class Decoder:
    """Decodes windows with one model.

    Args:
        model: A ``faster_whisper.WhisperModel``.
        key: Model and device; what fits into memory is remembered by it.
        batch_size: The operator's.
    """

    def __init__(self, model: Any, key: tuple[str, ...], batch_size: int) -> None:
        self._model = model
        self._key = key
        self._wanted = batch_size

    @property
    def batch_size(self) -> int:
        """Windows decoded at once: the operator's figure, or what fitted into memory."""
        return min(self._wanted, _fitting.get(self._key, self._wanted))

    def decode(
        self, audio: Audio, windows: Sequence[Window], options: dict[str, Any], *, temperature: float = 0.0
    ) -> Iterator[tuple[Window, Output]]:
        """Each window with what was heard in it, after every batch.

        When memory runs out, the windows not yet handed on are decoded in smaller batches.

        Raises:
            TransientError: Not even one window fits into memory.
            EngineError: The model failed.
        """
        done, tail = 0, 0.0
        while done < len(windows):
            group = windows[done : done + self.batch_size]
            try:
                outputs, tail = self._group([_cut(audio, window) for window in group], options, temperature, tail)
            except Exception as error:
                if not out_of_memory(error) or len(group) == 1:
                    raise decoding_failure(error) from error
                self._shrink(len(group) // 2)
                continue
            done += len(group)
            yield from zip(group, outputs, strict=True)

    def _shrink(self, batch_size: int) -> None:
        _log.warning("out of memory with the model %s: going on with batches of %d", self._key[0], batch_size)
        _fitting[self._key] = batch_size
        gc.collect()

    def _group(
        self, samples: list[Audio], options: dict[str, Any], temperature: float, tail: float
    ) -> tuple[list[Output], float]:
        """Decode some windows; ``tail``: seconds from the last word before to the first window, and on the way out."""
        if temperature > 0:
            # The batched pipeline takes the likeliest token at any temperature; only decoding one by one samples.
            return [self._alone(one, options, (temperature,)) for one in samples], tail
        outputs, tail = self._batch(samples, options, tail)
        again = [gates.wants_retry(o.heard(len(s) / SAMPLE_RATE)) for s, o in zip(samples, outputs, strict=True)]
        return [
            self._retried(s, o, options) if retry else o for s, o, retry in zip(samples, outputs, again, strict=True)
        ], tail

    def _batch(self, samples: list[Audio], options: dict[str, Any], tail: float) -> tuple[list[Output], float]:
        import numpy as np
        from faster_whisper import BatchedInferencePipeline

        starts = list(itertools.accumulate((-(-len(one) // _GRID) * _GRID for one in samples), initial=0))
        audio = np.zeros(starts[-1], np.float32)
        clips = []
        for start, one in zip(starts, samples, strict=False):
            audio[start : start + len(one)] = one
            # A quarter of a sample more: seconds become samples again by rounding down.
            clips.append({"start": (start + 0.25) / SAMPLE_RATE, "end": (start + len(one) + 0.25) / SAMPLE_RATE})
        pipeline = BatchedInferencePipeline(self._model)
        # A word after a pause is placed by when the one before it ended, which a new pipeline cannot know.
        pipeline.last_speech_timestamp = -tail
        segments, _ = pipeline.transcribe(
            audio, clip_timestamps=clips, batch_size=len(samples), temperature=0.0, vad_filter=False, **options
        )
        by_window = [list(parts) for _, parts in itertools.groupby(segments, key=lambda segment: segment.seek)]
        if len(by_window) != len(samples):
            raise RuntimeError(f"{len(samples)} windows gave text for {len(by_window)}")
        outputs = [_output(parts, parts[0].seek / _FRAMES) for parts in by_window]
        ends = [start / SAMPLE_RATE + o.words[-1].end for start, o in zip(starts, outputs, strict=False) if o.words]
        length = starts[-1] / SAMPLE_RATE
        return outputs, length - ends[-1] if ends else tail + length

    def _alone(self, samples: Audio, options: dict[str, Any], temperatures: tuple[float, ...]) -> Output:
        """Decode one window by real sampling, at the first temperature that gives sound text."""
        segments, _ = self._model.transcribe(
            samples,
            temperature=temperatures,
            compression_ratio_threshold=gates.REPETITIVE,
            log_prob_threshold=gates.IMPROBABLE,
            no_speech_threshold=None,  # the gates look at that, and count what they drop
            condition_on_previous_text=False,
            **options,
        )
        # The first segment is the window; asked for more, the library would decode what is left after the last word.
        return _output(list(itertools.islice(segments, 1)), 0.0)

    def _retried(self, samples: Audio, output: Output, options: dict[str, Any]) -> Output:
        """The better of what was heard and what is heard less greedily."""
        try:
            other = self._alone(samples, options, RETRY_TEMPERATURES)
        except Exception as error:
            if not out_of_memory(error):
                raise
            _log.info("no memory to decode a window once more with the model %s", self._key[0])
            return output
        return max(output, other, key=_soundness) if other.words else output


def _soundness(output: Output) -> tuple[bool, float]:
    return gates.compression_ratio(output.text) <= gates.REPETITIVE, output.avg_logprob


def _cut(audio: Audio, window: Window) -> Audio:
    import numpy as np

    return np.concatenate([audio[piece.start : piece.start + piece.length] for piece in window.pieces])


def _output(segments: Sequence[Any], offset: float) -> Output:
    """What a library found in a window as ours: plain floats, times from ``offset``."""
    if not segments:
        return Output()
    words = [
        Word(
            start=_number(word.start) - offset,
            end=_number(word.end) - offset,
            word=word.word,
            probability=_number(word.probability),
        )
        for segment in segments
        for word in segment.words or ()
    ]
    logprob = float(segments[0].avg_logprob)  # of the whole window
    return Output(
        avg_logprob=logprob if math.isfinite(logprob) else _NOTHING_SURE,
        no_speech_prob=_number(segments[0].no_speech_prob),
        words=words,
    )


def _number(value: Any) -> float:
    """A float that JSON can hold."""
    return float(value) if math.isfinite(value) else 0.0
