"""One file per format, found by its name: what a transcript can be handed out as.

A format is a module here with ``MEDIA_TYPE``, ``SUBTITLE`` and ``render(summary, segments, style)``; the module's name
is the format's name and its file extension. The modules without a media type are what the formats share.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipelines.documents import Segment, Summary, Transcript
from pipelines.errors import OptionsError
from pipelines.formats.style import Style


@dataclass(frozen=True)
class Format:
    """How one format is made and served."""

    name: str
    media_type: str
    """Without a charset; all are UTF-8."""
    extension: str
    """Without the dot."""
    render: Callable[[Summary, Iterable[Segment], Style], Iterator[str]]
    """The text in pieces, made as the segments come. Pure: the same transcript and style give the same text."""
    subtitle: bool
    """Whether it has cues, and so the style matters."""


def _discover() -> Mapping[str, Format]:
    found: dict[str, Format] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        if hasattr(module, "MEDIA_TYPE"):
            found[info.name] = Format(info.name, module.MEDIA_TYPE, info.name, module.render, module.SUBTITLE)
    return MappingProxyType(found)


FORMATS: Mapping[str, Format] = _discover()
"""By name, in alphabetical order."""


def render(transcript: Transcript, name: str, style: Style) -> str:
    """A transcript in the format of that name.

    Raises:
        OptionsError: No such format.
    """
    if name not in FORMATS:
        raise OptionsError(f"There is no format {name!r}; choose one of {', '.join(FORMATS)}.")
    return "".join(FORMATS[name].render(transcript, transcript.segments, style))
