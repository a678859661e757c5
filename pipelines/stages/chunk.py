"""Find the speech and cut the recording in its silences, so that chunks can be transcribed apart."""

from typing import Any

from pydantic import Field

from pipelines import alikeness, channels, silence, voice
from pipelines.documents import SAMPLE_RATE, ChunkPlan
from pipelines.options import Channels
from pipelines.stage import Files, Options, Progress, stage
from pipelines.wav import WavReader


class ChunkOptions(Options):
    """Where to look for speech and how much of it to transcribe at once."""

    chunk_seconds: float = Field(
        600.0, ge=30, le=1800, description="Seconds a chunk should have; the cut moves to the best silence near it."
    )
    vad_filter: bool | None = Field(
        None, description="Transcribe only where somebody speaks; false: everything, the silences too."
    )
    channels: Channels = "mix"


@stage(queue="cpu", reads=["audio.wav"], writes=["chunks.json"], weight=5)
def chunk(files: Files, options: ChunkOptions, progress: Progress) -> None:
    """Cut in the silences."""
    with files.open("audio.wav") as stream:
        wav = WavReader(stream)
        if options.channels == "split":
            files.write("chunks.json", _apart(wav, options, progress))
        else:
            files.write("chunks.json", _plan(voice.speech_probabilities(wav, progress), wav.duration, options))


def _plan(probabilities: Any, duration: float, options: ChunkOptions) -> ChunkPlan:
    if options.vad_filter is False:
        spans = silence.whole_spans(probabilities, duration)
    else:
        spans = silence.speech_spans(probabilities, duration)
    return silence.plan_chunks(spans, duration, chunk_seconds=options.chunk_seconds, probabilities=probabilities)


def _apart(wav: WavReader, options: ChunkOptions, progress: Progress) -> ChunkPlan:
    """Each channel by itself, all of them in one pass over the file; of channels that sound alike the first."""
    alike = alikeness.Alikeness()
    listeners = [voice.Listener(wav.frames) for _ in range(wav.channels)]
    for block in wav.blocks_apart(voice.BLOCK_SECONDS):
        alike.hear(block)
        for listener, samples in zip(listeners, block, strict=True):
            listener.hear(samples)
            progress(listeners[-1].done / SAMPLE_RATE, wav.duration)
    copies = alike.copies()
    plans = {
        number: _plan(listener.probabilities, wav.duration, options)
        for number, listener in enumerate(listeners, 1)
        if number not in copies
    }
    warnings = [channels.alike(number, first) for number, first in copies.items()]
    return channels.together(plans, wav.duration).model_copy(update={"warnings": warnings})
