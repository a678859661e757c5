"""What all chunks together say about a recording: pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from pipelines.documents import ChunkPlan, ChunkTranscript, Span, Warn
from pipelines.languages import between_sentences


def transcribed_seconds(plan: ChunkPlan, parts: Sequence[ChunkTranscript]) -> float:
    """Seconds of speech handed to the model, what two chunks share counted once; less what an engine left out.

    Of channels that were transcribed by themselves, the sum.
    """
    done = {part.index: part for part in parts}
    spans: defaultdict[int | None, list[Span]] = defaultdict(list)
    for chunk in plan.chunks:
        if chunk.index in done:
            spans[chunk.channel] += chunk.spans
    left_out = 0.0
    for chunk in plan.chunks:
        if chunk.index in done:
            given = sum(span.end - span.start for span in chunk.spans)
            left_out += max(0.0, given - done[chunk.index].transcribed_seconds)
    return round(max(0.0, sum(map(_union, spans.values())) - left_out), 3)


def language_of(parts: Sequence[ChunkTranscript]) -> tuple[str | None, float]:
    """The language most of the speech was transcribed in, and its mean probability; None without any part."""
    seconds: defaultdict[str, float] = defaultdict(float)
    weighted: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        weight = part.transcribed_seconds or 1e-3
        seconds[part.language] += weight
        weighted[part.language] += weight * part.language_probability
    if not seconds:
        return None, 0.0
    language = max(seconds, key=lambda code: (seconds[code], code))
    return language, min(1.0, weighted[language] / seconds[language])


def distinct(warnings: Iterable[Warn]) -> list[Warn]:
    """Each warning once, in the order they first came."""
    return list({(warn.code, warn.detail): warn for warn in warnings}.values())


def text_of(texts: Iterable[str], language: str | None) -> str:
    """The running text of segments' texts, with what the language puts between sentences."""
    return between_sentences(language).join(text for text in texts if text)


def _union(spans: Iterable[Span]) -> float:
    return sum(end - start for start, end in _merged(spans))


def _merged(spans: Iterable[Span]) -> Iterator[tuple[float, float]]:
    start = end = float("-inf")
    for span in sorted(spans, key=lambda span: span.start):
        if span.start > end:
            if end > start:
                yield start, end
            start, end = span.start, span.end
        end = max(end, span.end)
    if end > start:
        yield start, end
