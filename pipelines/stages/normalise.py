"""Turn the upload into the audio that every later stage reads."""

from pipelines.media import normalise as to_wav
from pipelines.options import Channels
from pipelines.stage import Files, Limits, Progress, stage
from pipelines.stage import Options as StageOptions


class Options(StageOptions):
    """What a request may say about the channels."""

    channels: Channels = "mix"


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
    """Decode the recording to 16 kHz, mono or with its channels apart.

    Raises:
        pipelines.errors.LonghandError: What ``pipelines.media.normalise`` raises.
    """
    source, target = files.path("source"), files.target("audio.wav")
    split = options.channels == "split"
    files.write("media.json", to_wav(source, target, limits=limits, progress=progress, split=split))
