"""Channels that are transcribed by themselves: their chunks as one plan, what they heard as one timeline: pure.

Chunks are in order of time through all channels, and so the channels come to be known side by side: whoever follows a
job reads all speakers, and only what is said about now has to be held until it is certain who speaks next.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pipelines import joining
from pipelines.documents import Chunk, ChunkPlan, ChunkTranscript, Segment, Speaker, Warn, Word
from pipelines.formats.phrases import ends_sentence

_BREATH, _BREATH_AFTER_SENTENCE = 0.6, 0.2
"""Seconds of silence in which somebody else's words are an answer; shorter ones do not tear a sentence apart."""
_SLACK = 0.3
"""Seconds by which an answer may come before the end of what it answers."""


def speaker(channel: int) -> str:
    """Who speaks in a channel, as id and as name."""
    return f"Channel {channel}"


def alike(channel: int, first: int) -> Warn:
    """That a channel was left out because it has nothing of its own."""
    detail = f"Channel {channel} has the same sound as channel {first}, so its words stand once, as {speaker(first)}."
    return Warn(code="channels_alike", detail=detail)


def together(plans: Mapping[int, ChunkPlan], duration: float) -> ChunkPlan:
    """The plans of some channels, by their numbers, as one, its chunks in order of time."""
    found = [
        (chunk.start, channel, chunk, plan.seams[n : n + 1])
        for channel, plan in plans.items()
        for n, chunk in enumerate(plan.chunks)
    ]
    found.sort(key=lambda one: one[:2])
    return ChunkPlan(
        duration=duration,
        speech_seconds=round(sum(plan.speech_seconds for plan in plans.values()), 3),
        chunks=[
            chunk.model_copy(update={"index": index, "channel": channel})
            for index, (_, channel, chunk, _) in enumerate(found)
        ],
        seams=[seam for *_, seams in found for seam in seams],
    )


def apart(plan: ChunkPlan) -> dict[int | None, ChunkPlan]:
    """The plan of each channel; the chunks keep their numbers."""
    chunks: defaultdict[int | None, list[Chunk]] = defaultdict(list)
    seams: defaultdict[int | None, list[float]] = defaultdict(list)
    last = {chunk.channel: chunk.index for chunk in plan.chunks}
    cuts = iter(plan.seams)
    for chunk in plan.chunks:
        chunks[chunk.channel].append(chunk)
        if chunk.index != last[chunk.channel]:
            seams[chunk.channel].append(next(cuts))
    return {
        channel: plan.model_copy(update={"chunks": own, "seams": seams[channel]}) for channel, own in chunks.items()
    }


def joiner(plan: ChunkPlan) -> joining.Joins:
    """What joins the chunks of a plan."""
    return ChannelJoiner(plan) if any(chunk.channel is not None for chunk in plan.chunks) else joining.Joiner(plan)


def join(plan: ChunkPlan, parts: Iterable[ChunkTranscript]) -> Iterator[Segment]:
    """The segments of the whole recording, in order of their beginnings; see ``pipelines.joining.join``."""
    return joining.join(plan, parts, joiner(plan))


def speakers(plan: ChunkPlan, seconds: Mapping[str | None, float]) -> list[Speaker]:
    """The speakers of the channels in which something was said.

    Args:
        plan: What was given to whom.
        seconds: How long the segments of each speaker are together.
    """
    numbers = sorted({chunk.channel for chunk in plan.chunks if chunk.channel is not None})
    names = [speaker(number) for number in numbers]
    return [Speaker(id=name, name=name, seconds=round(seconds[name], 3)) for name in names if name in seconds]


class ChannelJoiner:
    """Takes what the chunks of all channels heard, in order, and gives the segments of the recording.

    Each channel is joined by itself. Segments come in order of their beginnings, and one that goes on after somebody
    else's answer is cut there, so that they can be read one after the other. What people say at the same time stays
    whole. It holds what is said in about two chunks of each channel.

    Args:
        plan: What was given to whom; every chunk has a channel.
    """

    def __init__(self, plan: ChunkPlan) -> None:
        self._plan = plan
        self._joiners = {channel or 0: joining.Joiner(own) for channel, own in apart(plan).items()}
        self._waiting: dict[int, deque[Segment]] = {channel: deque() for channel in self._joiners}
        self._earliest = {channel: one.earliest() for channel, one in self._joiners.items()}
        self._added = 0
        self._given = 0

    def add(self, part: ChunkTranscript) -> list[Segment]:
        """The segments that no later chunk can change any more; with the last chunk, all that are left.

        Segments are numbered from 0 through all calls and have the speakers of their channels. Their beginnings never
        decrease; those of one speaker do not overlap.

        Raises:
            ValueError: It is not the next chunk's.
        """
        chunks, number = self._plan.chunks, self._added
        if number == len(chunks) or part.index != chunks[number].index:
            wanted = f"chunk {chunks[number].index}" if number < len(chunks) else "no further chunk"
            raise ValueError(f"{wanted} is to come, this is chunk {part.index}")
        channel = chunks[number].channel or 0
        self._waiting[channel] += self._joiners[channel].add(part)
        self._earliest[channel] = self._joiners[channel].earliest()
        self._added += 1
        return list(self._certain())

    def _certain(self) -> Iterator[Segment]:
        while heads := [(held[0].start, channel) for channel, held in self._waiting.items() if held]:
            _, channel = min(heads)
            segment = self._waiting[channel][0]
            # Until then somebody may yet turn out to have answered.
            last = segment.words[-1].start if segment.words else segment.start
            if any(known < last for number, known in self._earliest.items() if number != channel):
                return
            self._waiting[channel].popleft()
            if at := self._answered(channel, segment):
                segment, rest = _cut(segment, at)
                self._waiting[channel].appendleft(rest)
            yield _spoken(segment, self._given, speaker(channel))
            self._given += 1

    def _answered(self, channel: int, segment: Segment) -> int:
        """Number of the word at which a segment goes on after somebody else began to speak; 0: nobody did."""
        for at, begin, end in _breaths(segment):
            for number, held in self._waiting.items():
                if number != channel and any(begin <= other.start < end for other in _until(held, end)):
                    return at
        return 0


def _until(segments: Iterable[Segment], end: float) -> Iterator[Segment]:
    for segment in segments:
        if segment.start >= end:
            return
        yield segment


def _breaths(segment: Segment) -> Iterator[tuple[int, float, float]]:
    """Number of each word before which there is room for an answer, and from when to when it may begin."""
    words = segment.words
    if "".join(word.word for word in words).strip() != segment.text:
        return
    for at in range(1, len(words)):
        before, after = words[at - 1], words[at]
        least = _BREATH_AFTER_SENTENCE if ends_sentence(before.word.strip()) else _BREATH
        if after.start - before.end >= least:
            yield at, max(segment.start, before.end - _SLACK), after.start


def _cut(segment: Segment, at: int) -> tuple[Segment, Segment]:
    """What stands before a word, and the rest."""
    return _of(segment, segment.words[:at], start=segment.start), _of(segment, segment.words[at:], end=segment.end)


def _of(segment: Segment, words: Sequence[Word], *, start: float = -1.0, end: float = -1.0) -> Segment:
    text = "".join(word.word for word in words).strip()
    begin, stop = start if start >= 0 else words[0].start, end if end >= 0 else words[-1].end
    return segment.model_copy(update={"words": list(words), "text": text, "start": begin, "end": stop})


def _spoken(segment: Segment, number: int, by: str) -> Segment:
    words = [replace(word, speaker=by) for word in segment.words]
    return segment.model_copy(update={"id": number, "speaker": by, "words": words})
