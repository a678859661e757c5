"""Join what the chunks heard to one transcript; the only author of ``transcript.json``."""

from pipelines.documents import ChunkPlan, ChunkTranscript, Language, Media, Transcript, Warn
from pipelines.joining import distinct, join, language_of, text_of, transcribed_seconds
from pipelines.options import LanguageCode, ModelName, Task
from pipelines.stage import Files, Options, Progress, stage

_NOTICEABLE = 1.0
"""Seconds of speech without a transcript from which on the user is told."""


class MergeOptions(Options):
    """What the transcript says about itself where no chunk could say it."""

    model: ModelName = None
    language: LanguageCode = None
    task: Task = "transcribe"


@stage(
    queue="cpu",
    reads=["media.json", "chunks.json", "segments/*.json", "language.json?"],
    writes=["transcript.json"],
    weight=1,
)
def merge(files: Files, options: MergeOptions, progress: Progress) -> None:
    """Join the chunks."""
    plan = files.read("chunks.json", ChunkPlan)
    parts = []
    for number, name in enumerate(files.all("segments/*.json")):
        parts.append(files.read(name, ChunkTranscript))
        progress(number + 1, len(plan.chunks))
    voted = files.read("language.json", Language) if files.has("language.json") else None
    files.write("transcript.json", _transcript(files.read("media.json", Media), plan, parts, voted, options))


def _transcript(
    media: Media, plan: ChunkPlan, parts: list[ChunkTranscript], voted: Language | None, options: MergeOptions
) -> Transcript:
    language, probability = language_of(parts)
    if language is None and options.language:
        language, probability = options.language, 1.0
    elif voted is not None and voted.language == (language or voted.language):
        language, probability = voted.language, voted.probability
    segments = join(plan, parts)
    done = transcribed_seconds(plan, parts)
    warnings = [*media.warnings, *(warn for part in parts for warn in part.warnings)]
    if plan.speech_seconds - done > _NOTICEABLE:
        missing = plan.speech_seconds - done
        warnings.append(Warn(code="speech_left_out", detail=f"{missing:.0f} seconds of speech were not transcribed."))
    return Transcript(
        text=text_of(segments, "en" if options.task == "translate" else language),
        language=language,
        language_probability=probability,
        duration=plan.duration,
        speech_seconds=plan.speech_seconds,
        transcribed_seconds=done,
        model=parts[0].model if parts else options.model or "",
        task=options.task,
        segments=segments,
        warnings=distinct(warnings),
    )
