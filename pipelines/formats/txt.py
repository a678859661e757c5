"""Text to read: a paragraph for each speaker and each train of thought."""

from collections.abc import Iterable, Iterator

from pipelines.documents import Segment, Summary
from pipelines.formats.phrases import ends_sentence
from pipelines.formats.style import Style
from pipelines.formats.text import clean
from pipelines.formats.words import Unit, read

MEDIA_TYPE = "text/plain"
SUBTITLE = False

_PAUSE = 2.0
"""Seconds of silence after a sentence that begin a new paragraph."""
_LONG_PAUSE = 5.0
"""The same in the middle of a sentence, which then was most likely abandoned."""
_COLUMNS = 800
"""From this length on a paragraph ends with the next sentence."""


def render(summary: Summary, segments: Iterable[Segment], style: Style) -> Iterator[str]:
    """Paragraphs with an empty line between them, not wrapped; ``Name:`` where the speaker changes."""
    names = {speaker.id: clean(speaker.name).strip() for speaker in summary.speakers}
    before: str | None = None
    for number, units in enumerate(_paragraphs(read(summary, segments))):
        speaker = units[0].speaker
        name = names.get(speaker) or clean(speaker).strip() if speaker else ""
        text = units[0].text + "".join(" " * unit.space + unit.text for unit in units[1:])
        apart = "\n" if number else ""
        yield f"{apart}{name}: {text}\n" if name and speaker != before else f"{apart}{text}\n"
        before = speaker


def _paragraphs(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    paragraph: list[Unit] = []
    columns = 0
    for unit in units:
        if paragraph and _parted(paragraph[-1], unit, columns):
            yield paragraph
            paragraph, columns = [], 0
        paragraph.append(unit)
        columns += unit.width + unit.space
    if paragraph:
        yield paragraph


def _parted(left: Unit, right: Unit, columns: int) -> bool:
    if left.speaker != right.speaker:
        return True
    pause = right.start - left.end
    return pause >= _LONG_PAUSE or (ends_sentence(left.text) and (pause >= _PAUSE or columns >= _COLUMNS))
