"""Find out which language is spoken, once for the whole recording, so that all its chunks agree."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.documents import ChunkPlan, Language, Span
from pipelines.engines import Models
from pipelines.errors import OptionsError
from pipelines.options import LanguageCode, LanguageCodes, ModelName
from pipelines.stage import Files, Options, Progress, stage
from pipelines.wav import WavReader

SPOT_SECONDS = 30.0
"""What a model listens to at once."""
_SPOTS = ((60.0, (0,)), (1200.0, (1, 2, 0)), (float("inf"), (2, 4, 0, 3, 1)))
"""Seconds of speech up to which so many spots are enough, and the order to listen in: the middle first, for greetings
and music are at the ends, then those far apart, because a clear lead ends the vote."""


class DetectLanguageOptions(Options):
    """Which model decides, and between which languages."""

    model: ModelName = None
    language: LanguageCode = None
    languages: LanguageCodes = None


@stage(
    queue="gpu",
    reads=["audio.wav", "chunks.json"],
    writes=["language.json"],
    when=lambda options: options.language is None,
    weight=2,
)
def detect_language(files: Files, options: DetectLanguageOptions, progress: Progress, *, models: Models) -> None:
    """Find out the language.

    Where nobody speaks nothing is written: there is no language to name.
    """
    spots = list(choose_spots(speech(files.read("chunks.json", ChunkPlan))))
    if not spots:
        return
    if options.model is None:
        raise OptionsError("No model is chosen: name one in the option model.")
    progress(0, len(spots))
    if options.languages and len(options.languages) == 1:
        files.write("language.json", Language(language=options.languages[0], probability=1.0))
        return
    transcriber = models.get(options.model)
    with files.open("audio.wav") as stream:
        heard = (transcriber.language_probabilities(audio) for audio in _listen(WavReader(stream), spots, progress))
        files.write("language.json", vote(heard, len(spots), candidates=options.languages))


def speech(plan: ChunkPlan) -> list[Span]:
    """All speech of the recording, in order, each second once although chunks overlap, or people speak at once."""
    spans: list[Span] = []
    done = 0.0
    found = [span for chunk in plan.chunks for span in chunk.spans]
    if any(chunk.channel is not None for chunk in plan.chunks):
        found.sort(key=lambda span: (span.start, span.end))
    for span in found:
        if span.end > done:
            spans.append(Span(start=max(done, span.start), end=span.end))
            done = span.end
    return spans


def choose_spots(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Up to five spots of at most half a minute of speech, evenly spread over it.

    A short recording has one: the whole of it, or its middle.
    """
    total = sum(span.end - span.start for span in spans)
    if not total:
        return
    order = next(order for most, order in _SPOTS if total <= most)
    share = total / len(order)
    half = min(SPOT_SECONDS, share) / 2
    for number in order:
        middle = (number + 0.5) * share
        yield list(_stretch(spans, middle - half, middle + half))


def vote(heard: Iterable[Mapping[str, float]], count: int, *, candidates: Sequence[str] | None = None) -> Language:
    """The language with the highest sum of probabilities over the spots.

    Args:
        heard: Language -> probability of each spot. It is read only as long as the outcome is open.
        count: How many spots there are.
        candidates: The languages to choose from; None: all.
    """
    sums: dict[str, float] = {}
    asked = 0
    for asked, probabilities in enumerate(heard, 1):
        for language, probability in _among(probabilities, candidates).items():
            sums[language] = sums.get(language, 0.0) + probability
        first, second = (*sorted(sums.values(), reverse=True), 0.0, 0.0)[:2]
        if first - second > count - asked:
            break
    language = max(sums, key=lambda code: sums[code])
    return Language(language=language, probability=min(1.0, sums[language] / asked))


def _among(probabilities: Mapping[str, float], candidates: Sequence[str] | None) -> dict[str, float]:
    """Probabilities of the candidates alone, adding up to one; of all, if the model knows none of them."""
    chosen = {code: p for code, p in probabilities.items() if candidates is None or code in candidates}
    total = sum(chosen.values())
    return {code: p / total for code, p in chosen.items()} if total > 0 else dict(probabilities)


def _stretch(spans: Sequence[Span], first: float, last: float) -> Iterator[Span]:
    """What lies between two moments of the speech laid end to end."""
    done = 0.0
    for span in spans:
        low, high = max(first - done, 0.0), min(last - done, span.end - span.start)
        if high > low:
            yield Span(start=span.start + low, end=span.start + high)
        done += span.end - span.start


def _listen(wav: WavReader, spots: Sequence[Sequence[Span]], progress: Progress) -> Iterator[Any]:
    """The samples of each spot, one after another."""
    import numpy as np

    for number, spot in enumerate(spots):
        yield np.concatenate([wav.read(span.start, span.end) for span in spot])
        progress(number + 1, len(spots))
