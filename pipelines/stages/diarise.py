"""Tell speakers apart: who speaks when, over the whole recording, beside the transcription of its chunks."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipelines.documents import Turns, Warn
from pipelines.engines.diarisers import Diarisers, SpeakerCount
from pipelines.errors import LonghandError
from pipelines.options import Diarise
from pipelines.stage import Files, Options, Progress, stage
from pipelines.wav import WavReader

MAX_SPEAKERS = 50
FAILED = "diarisation_failed"
"""Code of the warning that says why a transcript has no speakers although they were asked for."""
_Count = Annotated[int | None, Field(ge=1, le=MAX_SPEAKERS)]


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
    reads=["audio.wav"],
    writes=["turns.json"],
    when=lambda options: bool(options.diarise),
    otherwise=without_speakers,
    weight=30,
)
def diarise(files: Files, options: DiariseOptions, progress: Progress, *, diarisers: Diarisers) -> None:
    """Tell speakers apart."""
    progress(0, 1)
    diariser = diarisers.get()
    progress(0, 1)  # loading may have taken a while
    count = SpeakerCount(exactly=options.num_speakers, at_least=options.min_speakers, at_most=options.max_speakers)
    with files.open("audio.wav") as stream:
        turns = diariser.diarise(WavReader(stream), count, progress)
    files.write("turns.json", turns)
