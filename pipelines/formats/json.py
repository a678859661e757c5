"""The transcript itself, with everything that is known about each word."""

from pipelines.documents import Transcript
from pipelines.formats.style import Style

MEDIA_TYPE = "application/json"
SUBTITLE = False


def render(transcript: Transcript, style: Style) -> str:
    """One line of JSON in UTF-8, letters as they are; the style has no say in it."""
    return transcript.model_dump_json() + "\n"
