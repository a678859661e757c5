"""Transcripts in the shapes of OpenAI's answers."""

import math
import string
import zlib
from collections.abc import Callable, Iterator
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from pipelines.documents import Segment, Transcript, Word
from pipelines.languages import LANGUAGES

_LEAST = 1e-10
_UNKNOWN = "english"
"""What is said of a recording in which nobody speaks, as there must be a language."""


class Usage(TypedDict):
    """What was used."""

    type: Literal["duration"]
    seconds: float


class Logprob(TypedDict):
    """How sure the model is of a word."""

    token: str
    bytes: list[int]
    logprob: float


class Language(TypedDict):
    """A language that was heard."""

    code: str


class Json(TypedDict):
    """``json``."""

    text: str
    logprobs: NotRequired[list[Logprob]]
    languages: NotRequired[list[Language]]
    usage: Usage


class VerboseSegment(TypedDict):
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


class VerboseWord(TypedDict):
    """A word."""

    word: str
    start: float
    end: float


class Verbose(TypedDict):
    """``verbose_json``."""

    task: str
    language: str
    duration: float
    text: str
    words: NotRequired[list[VerboseWord]]
    segments: NotRequired[list[VerboseSegment]]
    usage: Usage


class SpokenSegment(TypedDict):
    """What one speaker said at once."""

    type: Literal["transcript.text.segment"]
    id: str
    start: float
    end: float
    text: str
    speaker: str


class Diarized(TypedDict):
    """``diarized_json``."""

    task: Literal["transcribe"]
    duration: float
    text: str
    segments: list[SpokenSegment]
    usage: Usage


class Translated(TypedDict):
    """``json`` of a translation."""

    text: str


class TranslatedVerbose(TypedDict):
    """``verbose_json`` of a translation."""

    task: str
    language: str
    duration: float
    text: str
    segments: list[VerboseSegment]


def plain(found: Transcript, *, logprobs: bool, languages: bool) -> Json:
    """``json``.

    Args:
        found: The transcript.
        logprobs: Whether they were asked for.
        languages: Whether the model that was asked for is one that names them.
    """
    made: Json = {"text": found.text, "usage": usage(found.duration)}
    if logprobs:
        made["logprobs"] = [entry for segment in found.segments for entry in logprobs_of(segment)]
    if languages:
        made["languages"] = [{"code": found.language}] if found.language else []
    return made


def verbose(found: Transcript, *, temperature: float, words: bool, segments: bool) -> Verbose:
    """``verbose_json`` with the parts that were asked for."""
    made: Verbose = {
        "task": found.task,
        "language": language_name(found),
        "duration": found.duration,
        "text": found.text,
        "usage": usage(found.duration),
    }
    if words:
        made["words"] = [_word(word) for segment in found.segments for word in segment.words]
    if segments:
        made["segments"] = [_segment(segment, temperature) for segment in found.segments]
    return made


def translated_verbose(found: Transcript, *, temperature: float) -> TranslatedVerbose:
    """``verbose_json`` of a translation."""
    return {
        "task": "translate",
        "language": "english",
        "duration": found.duration,
        "text": found.text,
        "segments": [_segment(segment, temperature) for segment in found.segments],
    }


def diarized(found: Transcript) -> Diarized:
    """``diarized_json``."""
    name = speakers()
    return {
        "task": "transcribe",
        "duration": found.duration,
        "text": found.text,
        "segments": [spoken(segment, name(segment.speaker)) for segment in found.segments],
        "usage": usage(found.duration),
    }


def speakers() -> Callable[[str | None], str]:
    """Names speakers A, B, C … as they appear; somebody nobody was told apart from is A."""
    seen: dict[str | None, str] = {}

    def name(speaker: str | None) -> str:
        return seen.setdefault(speaker, _letters(len(seen)))

    return name


def spoken(segment: Segment, speaker: str) -> SpokenSegment:
    """A segment with its speaker."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{segment.id}",
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "speaker": speaker,
    }


def logprobs_of(segment: Segment) -> Iterator[Logprob]:
    """One entry a word: the tokens of the model are not kept."""
    for word in segment.words:
        probability = min(max(word.probability, _LEAST), 1.0)
        yield {"token": word.word, "bytes": list(word.word.encode()), "logprob": round(math.log(probability), 6)}


def usage(seconds: float) -> Usage:
    """The audio that was heard."""
    return {"type": "duration", "seconds": seconds}


def language_name(found: Transcript) -> str:
    """The full English name in lower case."""
    return LANGUAGES.get(found.language or "", found.language or _UNKNOWN)


def _segment(segment: Segment, temperature: float) -> VerboseSegment:
    text = segment.text.encode()
    return {
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


def _word(word: Word) -> VerboseWord:
    return {"word": word.word.strip(), "start": word.start, "end": word.end}


def _letters(number: int) -> str:
    letters = ""
    while number >= 0:
        letters = string.ascii_uppercase[number % 26] + letters
        number = number // 26 - 1
    return letters
