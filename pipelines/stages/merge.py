"""Join what the chunks heard to one transcript; the only author of ``transcript.json``."""

import shutil
from collections import defaultdict
from collections.abc import Iterator

from pipelines import channels, transcripts
from pipelines.documents import ChunkPlan, ChunkTranscript, Facts, Language, Media, Segment, Summary, Turns, Warn
from pipelines.options import LanguageCode, ModelName, Task, WordTimestamps
from pipelines.speakers import Spoken
from pipelines.stage import Files, Options, Progress, stage
from pipelines.stages.diarise import FAILED
from pipelines.totals import distinct, language_of, text_of, transcribed_seconds

_NOTICEABLE = 1.0
"""Seconds of speech without a transcript from which on the user is told."""


class MergeOptions(Options):
    """What the transcript says about itself where no chunk could say it."""

    model: ModelName = None
    language: LanguageCode = None
    task: Task = "transcribe"
    word_timestamps: WordTimestamps = True


@stage(
    queue="cpu",
    reads=["media.json", "chunks.json", "segments/*.json", "language.json?", "turns.json?"],
    writes=["transcript.json", "facts.json"],
    describes="facts.json",
    weight=1,
)
def merge(files: Files, options: MergeOptions, progress: Progress) -> None:
    """Join the chunks."""
    plan = files.read("chunks.json", ChunkPlan)
    heard: list[ChunkTranscript] = []
    texts: list[str] = []
    seconds: defaultdict[str | None, float] = defaultdict(float)

    def parts() -> Iterator[ChunkTranscript]:
        for number, name in enumerate(files.all("segments/*.json")):
            part = files.read(name, ChunkTranscript)
            # What a chunk says about itself is needed to the end, its words are not.
            heard.append(part.model_copy(update={"segments": []}))
            yield part
            progress(number + 1, len(plan.chunks))

    turns = files.read("turns.json", Turns) if files.has("turns.json") else None
    spoken = Spoken(channels.join(plan, parts()), turns.turns if turns else [], turns.names if turns else {})

    def segments() -> Iterator[Segment]:
        for segment in spoken:
            texts.append(segment.text)
            seconds[segment.speaker] += segment.end - segment.start
            yield segment if options.word_timestamps else segment.model_copy(update={"words": []})

    # The head of the file holds the whole text, which is known last: so the segments wait in a file of their own.
    aside = files.scratch / "segments"
    with aside.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(transcripts.segment_lines(segments()))
    voted = files.read("language.json", Language) if files.has("language.json") else None
    summary = _summary(files.read("media.json", Media), plan, heard, voted, options)
    summary = summary.model_copy(
        update={
            "text": text_of(texts, _text_language(summary)),
            "speakers": spoken.speakers() or channels.speakers(plan, seconds),
            "warnings": distinct([*summary.warnings, *(_of_speakers(turns, texts) if turns else [])]),
        }
    )
    with aside.open("rb") as stream_in, files.target("transcript.json").open("wb") as stream_out:
        stream_out.write(transcripts.head(summary).encode())
        shutil.copyfileobj(stream_in, stream_out)
        stream_out.write(transcripts.END.encode())
    files.write("facts.json", Facts(language=summary.language, warnings=summary.warnings))


def _summary(
    media: Media, plan: ChunkPlan, parts: list[ChunkTranscript], voted: Language | None, options: MergeOptions
) -> Summary:
    language, probability = language_of(parts)
    if language is None and options.language:
        language, probability = options.language, 1.0
    elif voted is not None and voted.language == (language or voted.language):
        language, probability = voted.language, voted.probability
    done = transcribed_seconds(plan, parts)
    warnings = [*media.warnings, *plan.warnings, *(warn for part in parts for warn in part.warnings)]
    if plan.speech_seconds - done > _NOTICEABLE:
        missing = plan.speech_seconds - done
        warnings.append(Warn(code="speech_left_out", detail=f"{missing:.0f} seconds of speech were not transcribed."))
    return Summary(
        text="",
        language=language,
        language_probability=probability,
        duration=plan.duration,
        speech_seconds=plan.speech_seconds,
        transcribed_seconds=done,
        model=parts[0].model if parts else options.model or "",
        task=options.task,
        warnings=distinct(warnings),
    )


def _of_speakers(turns: Turns, texts: list[str]) -> list[Warn]:
    """What is to be said of the telling apart of speakers."""
    if turns.turns or not texts or any(warn.code == FAILED for warn in turns.warnings):
        return turns.warnings
    detail = "Words were heard, but no speakers: whoever speaks may be too faint, or too far away."
    return [*turns.warnings, Warn(code="no_speakers", detail=detail)]


def _text_language(summary: Summary) -> str | None:
    """The language the text is in."""
    return "en" if summary.task == "translate" else summary.language
