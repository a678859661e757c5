"""Write down what is said in one chunk."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field, StringConstraints

from pipelines.documents import Chunk, ChunkPlan, ChunkTranscript, Language, Segment, Span, Warn, Word
from pipelines.engines import Models, Request
from pipelines.errors import OptionsError
from pipelines.options import Diarise, LanguageCode, ModelName, Task, WordTimestamps
from pipelines.stage import Files, Options, Progress, stage
from pipelines.wav import WavReader

MAX_TEXT = 2000
"""Characters of a prompt, and of the words to expect."""
_Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_TEXT)]


class TranscribeOptions(Options):
    """How to transcribe."""

    model: ModelName = None
    language: LanguageCode = None
    task: Task = "transcribe"
    prompt: _Text | None = Field(
        None, description="Text in the style and with the spellings to expect, as if it had been said just before."
    )
    hotwords: _Text | None = Field(None, description="Names and words to expect.")
    temperature: float = Field(0.0, ge=0, le=1, description="0: the likeliest text; higher: more varied, and slower.")
    beam_size: int | None = Field(
        None, ge=1, le=20, description="Alternatives followed while decoding; the operator's figure when not given."
    )
    word_timestamps: WordTimestamps = True
    diarise: Diarise = False


@stage(
    queue="gpu",
    each="chunks.json",
    reads=["audio.wav", "chunks.json", "language.json?"],
    writes=["segments/*.json"],
    weight=90,
)
def transcribe(files: Files, options: TranscribeOptions, progress: Progress, *, models: Models) -> None:
    """Transcribe."""
    chunk = _chunk(files)
    language = _language(files, options)
    segments: list[Segment] = []
    total = sum(span.end - span.start for span in chunk.spans)
    if options.model is None:
        raise OptionsError("No model is chosen: name one in the option model.")
    progress(0, total)
    transcriber = models.get(options.model)
    progress(0, total)  # loading may have taken a while
    with files.open("audio.wav") as stream:
        audio = WavReader(stream, channel=chunk.channel).read(chunk.start, chunk.end)
    request = _request(language, options)
    for segment in transcriber.transcribe(audio, [_shifted(span, -chunk.start) for span in chunk.spans], request):
        segments.append(_placed(segment, chunk))
        progress(_done(chunk, segments[-1].end), total)
    files.write(
        f"segments/{chunk.index}.json",
        ChunkTranscript(
            index=chunk.index,
            language=language.language,
            language_probability=language.probability,
            model=transcriber.name,
            transcribed_seconds=round(total, 3),
            segments=segments,
            warnings=list[Warn](transcriber.warnings),
        ),
    )
    progress(total, total)


def _request(language: Language, options: TranscribeOptions) -> Request:
    # Speakers are told apart by words, whether or not the words are wanted afterwards.
    words = options.word_timestamps or options.diarise
    chosen = options.model_dump(exclude={"model", "language", "diarise", "word_timestamps"})
    return Request(language=language.language, word_timestamps=words, **chosen)


def _chunk(files: Files) -> Chunk:
    chunks = files.read("chunks.json", ChunkPlan).chunks
    return next(chunk for chunk in chunks if chunk.index == files.item)


def _language(files: Files, options: TranscribeOptions) -> Language:
    """The language asked for, else the one that was found out."""
    if options.language is not None:
        return Language(language=options.language, probability=1.0)
    if files.has("language.json"):
        return files.read("language.json", Language)
    # No speech anywhere, so nothing will be decoded either; the decoder wants to be told one all the same.
    return Language(language="en", probability=0.0)


def _shifted(span: Span, by: float) -> Span:
    return Span(start=span.start + by, end=span.end + by)


def _placed(segment: Segment, chunk: Chunk) -> Segment:
    """A segment in the recording's time, to the millisecond, inside the chunk."""

    def place(seconds: float) -> float:
        return min(max(chunk.start, round(seconds + chunk.start, 3)), chunk.end)

    def placed(word: Word) -> Word:
        return replace(word, start=place(word.start), end=place(word.end))

    words = [placed(word) for word in segment.words]
    return segment.model_copy(update={"start": place(segment.start), "end": place(segment.end), "words": words})


def _done(chunk: Chunk, until: float) -> float:
    """Seconds of the chunk's speech before a moment."""
    return sum(min(until, span.end) - span.start for span in chunk.spans if span.start < until)
