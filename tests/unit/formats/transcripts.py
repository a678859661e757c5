"""Transcripts written by hand: a line of text becomes words at a steady pace."""

import re

from pipelines.documents import Segment, Speaker, Transcript, Word
from pipelines.formats import cues as module
from pipelines.formats.cues import Cue
from pipelines.formats.style import Style


def cues(of: Transcript, style: Style, *, label: bool = False) -> list[Cue]:
    """The cues of a whole transcript."""
    return module.cues(of, of.segments, style, label=label)


def segment(
    text: str, *, at: float = 0.0, pace: float = 15.0, speaker: str | None = None, words: bool = True
) -> Segment:
    """A segment said at ``pace`` characters a second; ``(1.5)`` in the text is a pause of so many seconds."""
    spoken: list[Word] = []
    time = at
    for token in re.findall(r"\s*\S+", text):
        if pause := re.fullmatch(r"\s*\((\d+(?:\.\d+)?)\)", token):
            time += float(pause[1])
            continue
        word = token if spoken else " " + token.strip()
        length = len(token) / pace
        spoken.append(Word(start=round(time, 3), end=round(time + length, 3), word=word, probability=0.9))
        time += length
    return Segment(
        id=0,
        start=at,
        end=round(time, 3),
        text="".join(w.word for w in spoken).strip(),
        speaker=speaker,
        avg_logprob=-0.2,
        no_speech_prob=0.01,
        words=spoken if words else [],
    )


def transcript(
    *segments: Segment, language: str | None = "en", duration: float | None = None, names: dict[str, str] | None = None
) -> Transcript:
    """The segments, numbered, as a whole recording that ends a little after the last word unless told otherwise."""
    numbered = [s.model_copy(update={"id": n}) for n, s in enumerate(segments)]
    end = max((s.end for s in numbered), default=0.0)
    return Transcript(
        text=" ".join(s.text for s in numbered),
        language=language,
        language_probability=0.99,
        duration=end + 1.0 if duration is None else duration,
        speech_seconds=end,
        transcribed_seconds=end,
        model="demo",
        segments=numbered,
        speakers=[Speaker(id=id, name=name, seconds=1.0) for id, name in (names or {}).items()],
    )


def say(*texts: str, **options: object) -> Transcript:
    """One segment after another, each right after the one before."""
    at, segments = 0.0, []
    for text in texts:
        segments.append(segment(text, at=at))
        at = segments[-1].end
    return transcript(*segments, **options)  # type: ignore[arg-type]
