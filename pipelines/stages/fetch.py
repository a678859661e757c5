"""Get a recording from its address."""

from pydantic import Field

from pipelines.stage import Files, Limits, Progress, stage
from pipelines.stage import Options as StageOptions
from pipelines.web.fetching import fetch as get


class Options(StageOptions):
    """Where the recording is."""

    url: str | None = Field(default=None, description="Address of the recording, http or https, which needs no login.")


@stage(
    queue="net",
    reads=[],
    writes=["source", "fetched.json"],
    describes="fetched.json",
    when=lambda options: options.url is not None,
    weight=2,
)
def fetch(files: Files, options: Options, progress: Progress, *, limits: Limits) -> None:
    """Fetch the recording from its address.

    Raises:
        pipelines.errors.LonghandError: What ``pipelines.web.fetching.fetch`` raises.
    """
    if options.url is None:
        raise ValueError("this stage runs only with an address")
    files.write("fetched.json", get(options.url, files.target("source"), limits=limits, progress=progress))
