"""The hand-over files between stages, as values.

Every time is in seconds from the start of the recording, a float. Documents are frozen: a stage that changes
something makes a new one.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

SAMPLE_RATE = 16_000
"""Samples per second of ``audio.wav`` (signed 16 bit); what Whisper, Silero and pyannote expect."""


class Document(BaseModel):
    """A value that is written to a file and read back unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Warn(Document):
    """Something the user should know although the job went well."""

    code: str
    """Stable, e.g. ``demo_model``."""
    detail: str
    """One sentence for a person."""


class Media(Document):
    """``media.json``: what the source turned out to be, by its content."""

    format: str
    """Short name of the container: mp3, wav, mp4, matroska …"""
    codec: str
    """Codec of the audio track that was taken."""
    duration: float = Field(ge=0)
    """Seconds of audio after decoding (the length of ``audio.wav``), not what a header claims."""
    sample_rate: int
    """Of the source track, Hz."""
    channels: int
    """Of the source track."""
    warnings: list[Warn] = []


class Span(Document):
    """A stretch of speech."""

    start: float
    end: float


class Chunk(Document):
    """A range of the recording that one task transcribes; neighbours overlap."""

    index: int
    start: float
    """First second to transcribe, overlap included."""
    end: float
    """Last second to transcribe, overlap included."""
    spans: list[Span]
    """Speech inside [start, end], in order, disjoint, each at most ``silence.MAX_SPAN_SECONDS`` long."""
    channel: int | None = Field(default=None, exclude_if=lambda channel: channel is None)
    """The channel that is heard, from 1; None: all of them as one."""


class ChunkPlan(Document):
    """``chunks.json``: where there is speech and who transcribes it."""

    duration: float
    speech_seconds: float
    """Seconds of speech in the whole recording, each counted once; of channels that are heard apart, the sum."""
    chunks: list[Chunk]
    """In order, those of all channels together; empty if there is no speech at all."""
    seams: list[float]
    """The planned cut between chunk i and i + 1: inside the overlap of both. One fewer than chunks.

    Where channels are heard apart: between each chunk and the next of its channel, in the order of the former.
    """
    warnings: list[Warn] = Field(default=[], exclude_if=lambda warnings: not warnings)


class Language(Document):
    """``language.json``: the language of the recording, voted over several spots."""

    language: str
    """ISO 639-1 code as Whisper spells it."""
    probability: float


@dataclass(frozen=True, slots=True)
class Word:
    """One word as the engine wrote it.

    A plain value with slots and no model: ten hours hold a hundred thousand of them, and this takes a third of the
    memory.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    start: float
    end: float
    word: str
    """With its leading space and its punctuation, as Whisper gives it; the words of a segment join to its text."""
    probability: float
    speaker: str | None = None


class Segment(Document):
    """A sentence or phrase."""

    id: int
    start: float
    end: float
    text: str
    """Stripped of white space at both ends."""
    speaker: str | None = None
    language: str | None = None
    avg_logprob: float
    no_speech_prob: float
    words: list[Word] = []
    """Empty when word times were not asked for."""


class ChunkTranscript(Document):
    """``segments/<n>.json``: what was heard in one chunk, in the recording's own time."""

    index: int
    language: str
    language_probability: float
    model: str
    """The name the engine loaded, after aliases."""
    transcribed_seconds: float
    """Seconds of speech handed to the model in this chunk, overlap included."""
    segments: list[Segment]
    warnings: list[Warn] = []


class Turn(Document):
    """A stretch in which one person speaks."""

    start: float
    end: float
    speaker: str
    """``SPEAKER_00`` …"""


class Voice(Document):
    """What somebody sounds like."""

    speaker: str
    """As in the turns."""
    embedding: list[float]
    """As the diariser's model has it, comparable only with others of the same model; empty: too little was said."""


class KnownVoices(Document):
    """``voices.json``: of whom samples came with the recording."""

    names: list[str]
    """The sample of the one at place n is ``voices/<n>``."""


class Turns(Document):
    """``turns.json``: who speaks when, in the whole recording."""

    turns: list[Turn]
    """In order, one speaker at a time: none begins before the one before it has ended."""
    voices: list[Voice] = []
    """Of each speaker, in the order in which they first speak."""
    names: dict[str, str] = {}
    """What speakers are called, by the turns' labels, where a voice was recognised."""
    model: str
    """The name the diariser loaded; empty if none was."""
    warnings: list[Warn] = []


class Speaker(Document):
    """Somebody who speaks in the recording."""

    id: str
    name: str
    seconds: float


class Summary(Document):
    """All about a transcript but its segments."""

    text: str
    language: str | None
    """None where nobody speaks."""
    language_probability: float
    duration: float
    speech_seconds: float
    transcribed_seconds: float
    """Seconds of speech that were handed to the model, each counted once; like ``speech_seconds``, the sum of all
    channels that are heard apart."""
    model: str
    task: Literal["transcribe", "translate"] = "transcribe"
    speakers: list[Speaker] = []
    warnings: list[Warn] = []


class Transcript(Summary):
    """``transcript.json``: the answer. Times never decrease and never pass ``duration``.

    Where channels are heard apart, a segment may begin before the one before it, of another speaker, has ended.
    """

    segments: list[Segment]


class Facts(Document):
    """``facts.json``: what the job's record says of the transcript."""

    language: str | None
    warnings: list[Warn] = []
