"""Turn the upload into the audio that every later stage reads."""

from typing import Literal

from pydantic import Field

from pipelines.errors import OptionsError
from pipelines.media import normalise as to_wav
from pipelines.stage import Files, Limits, Progress, stage
from pipelines.stage import Options as StageOptions


class Options(StageOptions):
    """What a request may say about the channels."""

    channels: Literal["mix", "split"] = Field(
        default="mix", description="mix: all channels become one; split: one speaker per channel (not available yet)."
    )


@stage(
    queue="cpu",
    reads=["source"],
    writes=["audio.wav", "media.json"],
    describes="media.json",
    # Twenty times the size of the recording, and made again from it in seconds.
    temporary=["audio.wav"],
    weight=5,
)
def normalise(files: Files, options: Options, progress: Progress, *, limits: Limits) -> None:
    """Decode the recording to 16 kHz mono.

    Raises:
        pipelines.errors.OptionsError: ``channels=split``, which is not there yet.
        pipelines.errors.LonghandError: What ``pipelines.media.normalise`` raises.
    """
    if options.channels == "split":
        raise OptionsError("channels=split is not available yet: leave it out, or send channels=mix.")
    files.write("media.json", to_wav(files.path("source"), files.target("audio.wav"), limits=limits, progress=progress))
