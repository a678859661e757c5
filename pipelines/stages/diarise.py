"""Tell speakers apart: who speaks when, over the whole recording, beside the transcription of its chunks."""

from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.documents import KnownVoices, Turns, Warn
from pipelines.engines.diarisers import Diariser, Diarisers, SpeakerCount
from pipelines.errors import InputError, LonghandError, TooLong
from pipelines.media import normalise
from pipelines.options import Diarise
from pipelines.recognition import recognise
from pipelines.stage import Files, Limits, Options, Progress, stage
from pipelines.wav import WavReader

KNOWN = "voices.json"
MAX_KNOWN = 4
"""People of whom samples may come with a recording."""
SAMPLE_SECONDS = (2.0, 10.0)
"""How long a sample of a voice must be at least and may be at most."""
_LOOK_SECONDS = 30.0
"""A sample is looked at no longer than this, of its sound and of our time."""
_ROUNDING = 0.1
"""Seconds that a sample may be shorter or longer: codecs pad and cut."""
MAX_SPEAKERS = 50
FAILED = "diarisation_failed"
"""Code of the warning that says why a transcript has no speakers although they were asked for."""
IGNORED = "known_speaker_ignored"
"""Code of the warning that a sample of a voice was of no use."""
SPEAKER_WARNINGS = (FAILED, IGNORED, "no_speakers")
_Count = Annotated[int | None, Field(ge=1, le=MAX_SPEAKERS)]


def sample_name(number: int) -> str:
    """The file with the sample of a voice."""
    return f"voices/{number}"


class DiariseOptions(Options):
    """Whether to tell speakers apart, and how many there are."""

    diarise: Diarise = False
    num_speakers: _Count = Field(None, description="How many people speak, if that is known; with diarise.")
    min_speakers: _Count = Field(None, description="At least so many people speak; with diarise.")
    max_speakers: _Count = Field(None, description="At most so many people speak; with diarise.")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        exactly, least, most = self.num_speakers, self.min_speakers, self.max_speakers
        given = [name for name in ("num_speakers", "min_speakers", "max_speakers") if getattr(self, name) is not None]
        if given and not self.diarise:
            raise ValueError(f"{given[0]} says how many speakers to tell apart: send diarise=true too, or leave it out")
        if exactly is not None and len(given) > 1:
            raise ValueError(f"num_speakers says how many there are: leave out {' and '.join(given[1:])}")
        if least is not None and most is not None and least > most:
            raise ValueError(f"min_speakers is {least}, which is more than max_speakers, {most}")
        return self


def without_speakers(files: Files, error: LonghandError) -> None:
    """Go on without speakers: a failed diarisation never costs the transcript."""
    warning = Warn(code=FAILED, detail=f"Speakers could not be told apart: {error.detail}")
    files.write("turns.json", Turns(turns=[], model="", warnings=[warning]))


@stage(
    queue="diarise",
    reads=["audio.wav", f"{KNOWN}?", *(f"{sample_name(n)}?" for n in range(MAX_KNOWN))],
    writes=["turns.json"],
    # Of people's voices nothing is kept that is not needed.
    temporary=[sample_name(n) for n in range(MAX_KNOWN)],
    when=lambda options: bool(options.diarise),
    otherwise=without_speakers,
    weight=30,
)
def diarise(files: Files, options: DiariseOptions, progress: Progress, *, diarisers: Diarisers, limits: Limits) -> None:
    """Tell speakers apart."""
    progress(0, 1)
    diariser = diarisers.get()
    progress(0, 1)  # loading may have taken a while
    # First, so that nothing that is wrong with them can cost the hours that the recording may take.
    known, warnings = _known(files, diariser, limits, progress) if files.has(KNOWN) else ({}, [])
    count = SpeakerCount(exactly=options.num_speakers, at_least=options.min_speakers, at_most=options.max_speakers)
    with files.open("audio.wav") as stream:
        turns = diariser.diarise(WavReader(stream), count, progress)
    found = {
        "names": recognise(turns.voices, known, diariser.similarity),
        "warnings": [*turns.warnings, *warnings],
        # What identifies people is not kept: nothing after this needs it.
        "voices": [],
    }
    files.write("turns.json", turns.model_copy(update=found))


def _known(
    files: Files, diariser: Diariser, limits: Limits, progress: Progress
) -> tuple[dict[str, list[float]], list[Warn]]:
    """The voices of those whose samples came along, by name; and warnings of samples that are of no use."""
    voices: dict[str, list[float]] = {}
    warnings: list[Warn] = []
    for number, name in enumerate(files.read(KNOWN, KnownVoices).names):
        progress(0, 1)
        try:
            voices[name] = _voice(number, files, diariser, limits, progress)
        except (_Unusable, InputError) as error:
            detail = f"The sample of the voice of {name} was not used. {error.detail}"
            warnings.append(Warn(code=IGNORED, detail=detail))
    return voices, warnings


class _Unusable(LonghandError):
    """What is wrong with a sample."""


def _voice(number: int, files: Files, diariser: Diariser, limits: Limits, progress: Progress) -> list[float]:
    least, most = SAMPLE_SECONDS
    if not files.has(sample_name(number)):
        raise _Unusable("It is not kept any more; send the recording again.")
    wav = files.scratch / f"voice-{number}.wav"
    within = replace(limits, max_audio_seconds=_LOOK_SECONDS, ffmpeg_seconds=min(_LOOK_SECONDS, limits.ffmpeg_seconds))
    try:
        normalise(files.path(sample_name(number)), wav, limits=within, progress=lambda _done, _total: progress(0, 1))
    except TooLong:
        raise _Unusable(f"It is longer than {most:g} s; send {least:g} to {most:g} s.") from None
    with wav.open("rb") as stream:
        reader = WavReader(stream)
        if not least - _ROUNDING <= reader.duration <= most + _ROUNDING:
            raise _Unusable(f"It is {reader.duration:.1f} s long; send {least:g} to {most:g} s.")
        voice = diariser.embed(reader.read())
    if voice is None:
        raise _Unusable("Nobody speaks in it.")
    return voice
