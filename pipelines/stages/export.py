"""Write the transcript in the formats that were asked for, ahead of anybody fetching them."""

from pathlib import Path
from typing import Annotated, Any, TextIO

from pydantic import BeforeValidator, Field

from pipelines import stage as stages
from pipelines import transcripts
from pipelines.formats import FORMATS
from pipelines.formats.style import StyleOptions
from pipelines.stage import Files, Progress, stage

TRANSCRIPT = "transcript.json"
_DEFAULT = ("srt", "vtt")
_NONE = "none"
_FormatName = Annotated[str, Field(json_schema_extra={"enum": list(FORMATS)})]


def export_name(format_name: str) -> str:
    """The file that holds the export in this format, if the job asked for it."""
    return f"exports/transcript.{FORMATS[format_name].extension}"


def _formats(value: Any) -> Any:
    """Flatten ``"srt, vtt"`` and ``["srt", "vtt,txt"]`` into names, each once.

    An untouched form field is the default; the word ``none`` is no formats, which a form has no other way to say.
    """
    if isinstance(value, str):
        value = [value] if value.strip() else list(_DEFAULT)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return value
    names = [name.strip().lstrip(".").casefold() for item in value for name in item.split(",")]
    names = [name for name in dict.fromkeys(names) if name]
    if names == [_NONE]:
        return []
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise ValueError(f"there is no format {unknown[0]!r}; choose from {', '.join(FORMATS)}")
    return names


class Options(stages.Options, StyleOptions):
    """How subtitles look, and which files to make."""

    formats: Annotated[list[_FormatName], BeforeValidator(_formats)] = Field(
        list(_DEFAULT),
        description=f"Files made ahead, as a list or with commas: {', '.join(FORMATS)}; the word none: "
        "no files. Any format can be fetched later all the same.",
    )


@stage(
    queue="cpu",
    reads=[TRANSCRIPT],
    writes=[export_name(name) for name in FORMATS],
    when=lambda options: bool(options.formats),
    weight=0.1,
)
def export(files: Files, options: Options, progress: Progress) -> None:
    """Write subtitles and texts."""
    style = options.style()
    for done, name in enumerate(options.formats):
        progress(done, len(options.formats))
        with files.open(TRANSCRIPT) as source, _writing(files.target(export_name(name))) as target:
            summary = transcripts.read_summary(source)
            target.writelines(FORMATS[name].render(summary, transcripts.read_segments(source), style))
    progress(len(options.formats), len(options.formats))


def _writing(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="\n")
