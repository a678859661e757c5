"""Transcripts in the shapes of OpenAI's answers."""

import itertools
import math
import string
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from pipelines.documents import Segment, Speaker, Transcript, Word
from pipelines.languages import LANGUAGES

_LEAST = 1e-10
_UNKNOWN = "english"
"""What is said of a recording in which nobody speaks, as there must be a language."""


class DurationUsage(TypedDict):
    """What was used."""

    type: Literal["duration"]
    seconds: float


class TranscriptionLogprob(TypedDict):
    """How sure the model is of a word."""

    token: str
    bytes: list[int]
    logprob: float


class TranscriptionLanguage(TypedDict):
    """A language that was heard."""

    code: str


class Transcription(TypedDict):
    """``json``."""

    text: str
    logprobs: NotRequired[list[TranscriptionLogprob]]
    languages: NotRequired[list[TranscriptionLanguage]]
    usage: DurationUsage


class TranscriptionSegment(TypedDict):
    """A sentence or phrase."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    speaker: NotRequired[str]
    """Ours, where speakers were told apart."""


class TranscriptionWord(TypedDict):
    """A word."""

    word: str
    start: float
    end: float


class TranscriptionVerbose(TypedDict):
    """``verbose_json``."""

    task: str
    language: str
    duration: float
    text: str
    words: NotRequired[list[TranscriptionWord]]
    segments: NotRequired[list[TranscriptionSegment]]
    usage: DurationUsage


class DiarizedSegment(TypedDict):
    """What one speaker said at once."""

    type: Literal["transcript.text.segment"]
    id: str
    start: float
    end: float
    text: str
    speaker: str


class TranscriptionDiarized(TypedDict):
    """``diarized_json``."""

    task: Literal["transcribe"]
    duration: float
    text: str
    segments: list[DiarizedSegment]
    usage: DurationUsage


class Translation(TypedDict):
    """``json`` of a translation."""

    text: str


class TranslationVerbose(TypedDict):
    """``verbose_json`` of a translation."""

    task: str
    language: str
    duration: float
    text: str
    segments: list[TranscriptionSegment]


def plain(found: Transcript, *, logprobs: bool, languages: bool) -> Transcription:
    """``json``.

    Args:
        found: The transcript.
        logprobs: Whether they were asked for.
        languages: Whether the model that was asked for is one that names them.
    """
    made: Transcription = {"text": found.text, "usage": usage(found.duration)}
    if logprobs:
        made["logprobs"] = [entry for segment in found.segments for entry in logprobs_of(segment)]
    if languages:
        made["languages"] = [{"code": found.language}] if found.language else []
    return made


def verbose(found: Transcript, *, temperature: float, words: bool, segments: bool) -> TranscriptionVerbose:
    """``verbose_json`` with the parts that were asked for."""
    made: TranscriptionVerbose = {
        "task": found.task,
        "language": language_name(found),
        "duration": found.duration,
        "text": found.text,
        "usage": usage(found.duration),
    }
    name = naming(found.speakers)
    if words:
        made["words"] = [_word(word) for segment in found.segments for word in segment.words]
    if segments:
        made["segments"] = [_segment(segment, temperature, name) for segment in found.segments]
    return made


def translated_verbose(found: Transcript, *, temperature: float) -> TranslationVerbose:
    """``verbose_json`` of a translation."""
    name = naming(found.speakers)
    return {
        "task": "translate",
        "language": "english",
        "duration": found.duration,
        "text": found.text,
        "segments": [_segment(segment, temperature, name) for segment in found.segments],
    }


def diarized(found: Transcript, *, known: Sequence[str] = ()) -> TranscriptionDiarized:
    """``diarized_json``.

    Args:
        found: The transcript.
        known: Names of people that may be in it, which nobody else is called by.
    """
    name = naming(found.speakers, known)
    return {
        "task": "transcribe",
        "duration": found.duration,
        "text": found.text,
        "segments": [spoken(segment, name(segment.speaker)) for segment in found.segments],
        "usage": usage(found.duration),
    }


def naming(speakers: Sequence[Speaker], names: Sequence[str] = ()) -> Callable[[str | None], str]:
    """Calls those by their names who have one, the others A, B, C … as they appear; where nobody was told apart, A.

    Args:
        speakers: Of the transcript.
        names: What nobody is to be called but who has that name.
    """
    known = {speaker.id: speaker.name for speaker in speakers if speaker.name != speaker.id}
    taken = {*known.values(), *names}
    letters = (letter for letter in map(_letters, itertools.count()) if letter not in taken)
    seen: dict[str | None, str] = {}

    def name(speaker: str | None) -> str:
        if speaker in known:
            return known[speaker]
        if speaker not in seen:
            seen[speaker] = next(letters)
        return seen[speaker]

    return name


def spoken(segment: Segment, speaker: str) -> DiarizedSegment:
    """A segment with its speaker."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{segment.id}",
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "speaker": speaker,
    }


def logprobs_of(segment: Segment) -> Iterator[TranscriptionLogprob]:
    """One entry a word: the tokens of the model are not kept."""
    for word in segment.words:
        probability = min(max(word.probability, _LEAST), 1.0)
        yield {"token": word.word, "bytes": list(word.word.encode()), "logprob": round(math.log(probability), 6)}


def usage(seconds: float) -> DurationUsage:
    """The audio that was heard."""
    return {"type": "duration", "seconds": seconds}


def language_name(found: Transcript) -> str:
    """The full English name in lower case."""
    return LANGUAGES.get(found.language or "", found.language or _UNKNOWN)


def _segment(segment: Segment, temperature: float, name: Callable[[str | None], str]) -> TranscriptionSegment:
    text = segment.text.encode()
    made: TranscriptionSegment = {
        "id": segment.id,
        "seek": round(segment.start * 100),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        "temperature": temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": round(len(text) / len(zlib.compress(text)), 6),
        "no_speech_prob": segment.no_speech_prob,
    }
    if segment.speaker is not None:
        made["speaker"] = name(segment.speaker)
    return made


def _word(word: Word) -> TranscriptionWord:
    return {"word": word.word.strip(), "start": word.start, "end": word.end}


def _letters(number: int) -> str:
    letters = ""
    while number >= 0:
        letters = string.ascii_uppercase[number % 26] + letters
        number = number // 26 - 1
    return letters
