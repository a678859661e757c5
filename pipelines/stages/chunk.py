"""Find the speech and cut the recording in its silences, so that chunks can be transcribed apart."""

from pydantic import Field

from pipelines import silence, voice
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


@stage(queue="cpu", reads=["audio.wav"], writes=["chunks.json"], weight=5)
def chunk(files: Files, options: ChunkOptions, progress: Progress) -> None:
    """Cut in the silences."""
    with files.open("audio.wav") as stream:
        wav = WavReader(stream)
        probabilities = voice.speech_probabilities(wav, progress)
    if options.vad_filter is False:
        spans = silence.whole_spans(probabilities, wav.duration)
    else:
        spans = silence.speech_spans(probabilities, wav.duration)
    plan = silence.plan_chunks(spans, wav.duration, chunk_seconds=options.chunk_seconds, probabilities=probabilities)
    files.write("chunks.json", plan)
