import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import joining
from pipelines.documents import Chunk, ChunkPlan, ChunkTranscript, Segment, Span, Warn, Word
from pipelines.joining import Joiner
from pipelines.seams import REACH
from pipelines.totals import distinct, language_of, text_of, transcribed_seconds

Said = tuple[float, float, str]


SURE, UNSURE = 0.9, 0.3


def word(start: float, end: float, text: str) -> Word:
    """A word the engine is sure of, but for one with a question mark in front."""
    return Word(start=start, end=end, word=f" {text.lstrip('?')}", probability=UNSURE if text[0] == "?" else SURE)


def segment(*said: Said, times: bool = True, number: int = 7) -> Segment:
    """A segment of these words; `times`: with word times."""
    text = " ".join(text.lstrip("?") for _, _, text in said)
    words = [word(*one) for one in said] if times else []
    return Segment(
        id=number, start=said[0][0], end=said[-1][1], text=text, avg_logprob=-0.2, no_speech_prob=0.01, words=words
    )


def join(plan: ChunkPlan, parts: list[ChunkTranscript]) -> list[Segment]:
    return list(joining.join(plan, parts))


def part(index: int, *segments: Segment, seconds: float = 10.0) -> ChunkTranscript:
    return ChunkTranscript(
        index=index,
        language="en",
        language_probability=0.9,
        model="demo",
        transcribed_seconds=seconds,
        segments=list(segments),
    )


def plan(*ranges: tuple[float, float]) -> ChunkPlan:
    chunks = [
        Chunk(index=i, start=start, end=end, spans=[Span(start=start, end=end)])
        for i, (start, end) in enumerate(ranges)
    ]
    seams = [(before.end + after.start) / 2 for before, after in pairwise(chunks)]
    duration = ranges[-1][1]
    return ChunkPlan(duration=duration, speech_seconds=duration, chunks=chunks, seams=seams)


def said(text: str, start: float, *, each: float = 0.4) -> list[Said]:
    """Words one after the other, 0.4 s each with 0.1 s between."""
    return [(start + i * (each + 0.1), start + i * (each + 0.1) + each, w) for i, w in enumerate(text.split())]


def texts(segments: list[Segment]) -> list[str]:
    return [segment.text for segment in segments]


def words(segments: list[Segment]) -> list[str]:
    return [word.word.strip() for segment in segments for word in segment.words]


def in_order(segments: list[Segment], duration: float) -> bool:
    inner = [time for one in segments for word in one.words for time in (word.start, word.end)]
    outer = [time for one in segments for time in (one.start, one.end)]
    return all(
        times == sorted(times) and (not times or (times[0] >= 0 and times[-1] <= duration)) for times in (inner, outer)
    )


TWO = plan((0, 12), (6, 20))
"""An overlap of six seconds, the seam planned at 9."""


def test_a_sentence_both_heard_stands_once_and_whole() -> None:
    before, across, after = said("it was late", 0), said("we went home by the river", 7), said("then we slept", 14)
    left = part(0, segment(*before), segment(*across))
    right = part(1, segment(*[(s + 0.07, e + 0.05, w) for s, e, w in across]), segment(*after))
    joined = join(TWO, [left, right])
    assert texts(joined) == ["it was late", "we went home by the river", "then we slept"]
    assert [one.id for one in joined] == [0, 1, 2]
    assert joined[1].words in (left.segments[1].words, right.segments[0].words)


def test_a_sentence_cut_by_both_chunks_is_one_again() -> None:
    whole = said("the long sentence that went on and on until all of us had long since lost its thread", 2)
    left = part(0, segment(*[w for w in whole if w[1] <= 11]))
    right = part(1, segment(*[w for w in whole if w[0] >= 6.4]))
    (joined,) = join(TWO, [left, right])
    assert joined.text == "the long sentence that went on and on until all of us had long since lost its thread"
    assert (joined.start, joined.end) == (whole[0][0], whole[-1][1])


def test_words_garbled_at_the_edge_of_one_chunk_come_from_the_other() -> None:
    truth = said("one two three four five six seven eight nine ten", 6.1, each=0.5)
    left = part(0, segment(*truth[:-1], (11.5, 12.0, "tent")))
    right = part(1, segment((6.0, 6.5, "fun"), *truth[1:]))
    assert words(join(TWO, [left, right])) == [text for _, _, text in truth]


def test_words_invented_at_the_end_of_a_chunk_are_left_out() -> None:
    left = part(0, segment(*said("that is all", 5)), segment((11.1, 11.5, "Thank"), (11.5, 12, "you.")))
    right = part(1, segment(*said("good night", 16)))
    assert texts(join(TWO, [left, right])) == ["that is all", "good night"]


def test_words_only_one_chunk_heard_are_kept() -> None:
    left = part(0, segment(*said("and there", 7.0), (8.0, 8.4, "really"), (9.5, 9.9, "was")))
    right = part(1, segment(*said("and there", 7.0), (9.5, 9.9, "was"), (10.0, 10.3, "no"), (10.4, 10.8, "doubt")))
    assert words(join(TWO, [left, right])) == ["and", "there", "really", "was", "no", "doubt"]


def test_what_is_said_twice_stays_twice() -> None:
    spoken = [(7.0, 7.3, "no"), (7.35, 7.6, "no"), (8.6, 8.9, "very"), (8.95, 9.2, "very"), (9.25, 9.6, "late")]
    left, right = part(0, segment(*spoken)), part(1, segment(*[(s + 0.1, e + 0.1, w) for s, e, w in spoken]))
    assert words(join(TWO, [left, right])) == ["no", "no", "very", "very", "late"]


def test_case_and_punctuation_do_not_double_a_word() -> None:
    left = part(0, segment(*said("we stopped. Then it rained", 7.5)))
    right = part(1, segment(*said("We stopped then, it rained.", 7.55)))
    assert [w.strip(".,").lower() for w in words(join(TWO, [left, right]))] == ["we", "stopped", "then", "it", "rained"]


def test_a_word_spelt_in_two_ways_stands_once() -> None:
    left = part(0, segment(*said("the colour of twenty five boats", 7.0)))
    right = part(1, segment(*said("the color of", 7.05), (8.5, 9.4, "25"), (9.5, 9.9, "boats")))
    assert words(join(TWO, [left, right])) in (
        ["the", "colour", "of", "twenty", "five", "boats"],
        ["the", "color", "of", "25", "boats"],
        ["the", "colour", "of", "25", "boats"],
        ["the", "color", "of", "twenty", "five", "boats"],
    )


def test_a_word_spelt_and_placed_in_two_ways_stands_once() -> None:
    left = part(0, segment((7.0, 7.4, "the"), (7.5, 7.8, "colour"), (8.2, 8.6, "fades")))
    right = part(1, segment((7.0, 7.4, "the"), (7.85, 8.15, "color"), (8.2, 8.6, "fades")))
    assert words(join(TWO, [left, right])) in (["the", "colour", "fades"], ["the", "color", "fades"])


def test_a_word_the_chunks_place_far_apart_stands_once() -> None:
    left = part(0, segment(*said("we were", 7.5), (8.6, 9.0, "alone")))
    right = part(1, segment(*said("we were", 7.5), (9.3, 9.7, "alone"), (10.5, 10.9, "again")))
    assert words(join(TWO, [left, right])) == ["we", "were", "alone", "again"]


def test_hearings_that_disagree_altogether_do_not_share_time() -> None:
    left = part(0, segment(*said("alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo", 6.1)))
    right = part(1, segment(*said("uno dos tres cuatro cinco seis siete ocho nueve diez once", 6.3)))
    joined = join(TWO, [left, right])
    heard = words(joined)
    assert heard[0] == "alpha"
    assert heard[-1] == "once"
    assert len(heard) == 11, "six of the left, five of the right; `seis` shares its time with `foxtrot`"
    assert "seis" not in heard
    assert in_order(joined, 20)


def test_hearings_that_disagree_without_a_gap_are_cut_at_the_seam() -> None:
    left = part(0, segment(*[(6 + i / 2, 6.5 + i / 2, f"left{i}") for i in range(12)]))
    right = part(1, segment(*[(6.25 + i / 2, 6.75 + i / 2, f"right{i}") for i in range(12)]))
    joined = join(TWO, [left, right])
    assert words(joined) == [f"left{i}" for i in range(6)] + [f"right{i}" for i in range(6, 12)]
    assert all(one.end - one.start >= 0.5 for one in (w for s in joined for w in s.words))


def test_one_word_drawn_out_does_not_swallow_the_sentence_the_other_heard() -> None:
    left = part(0, segment((7.0, 10.9, "so")))
    right = part(1, segment(*said("the train left on time today", 7.2)))
    assert words(join(TWO, [left, right])) == ["the", "train", "left", "on", "time", "today"]


def test_the_hearing_that_is_surer_stands_wherever_it_is() -> None:
    wrong, right = said("the ?driver ?lives in", 8), said("the dry weather in", 8)
    for left, other in ((wrong, right), (right, wrong)):
        assert words(join(TWO, [part(0, segment(*left)), part(1, segment(*other))])) == ["the", "dry", "weather", "in"]


def test_a_wrong_word_is_not_taken_from_one_side_and_the_next_from_the_other() -> None:
    left = part(0, segment(*said("the ?dry weather in", 8)))
    right = part(1, segment((8, 8.4, "the"), (8.5, 8.7, "driver"), (8.8, 9.4, "lives"), (9.5, 9.9, "in")))
    assert words(join(TWO, [left, right])) == ["the", "driver", "lives", "in"]


def test_two_sure_short_words_do_not_outvote_a_surer_long_one() -> None:
    left = part(0, segment((7, 7.3, "the"), (7.3, 7.8, "?last"), (7.8, 7.95, "point"), (8, 8.3, "is")))
    right = part(1, segment((7, 7.3, "the"), (7.3, 7.95, "restaurant"), (8, 8.3, "is")))
    assert words(join(TWO, [left, right])) == ["the", "restaurant", "is"]


def test_a_loop_of_the_decoder_stands_nowhere() -> None:
    clean = said("this is a cheap contract", 8)
    at = clean[0][1]
    looped = [clean[0], *[(at, at, text) for text in ["is", "a", "cheap", "contract", "this"]], *clean[1:]]
    for left, right in ((looped, clean), (clean, looped)):
        joined = join(TWO, [part(0, segment(*left)), part(1, segment(*right))])
        assert words(joined) == ["this", "is", "a", "cheap", "contract"]
        assert [(w.start, w.end) for one in joined for w in one.words] == [(start, end) for start, end, _ in clean]


def test_words_only_one_chunk_heard_and_doubts_are_left_out() -> None:
    left = part(0, segment(*said("about security", 8), (9.0, 9.4, "?Olivia"), (9.5, 9.8, "have")))
    right = part(1, segment(*said("about security", 8), (9.5, 9.8, "have")))
    assert words(join(TWO, [left, right])) == ["about", "security", "have"]


def test_a_sentence_that_one_chunk_skipped_is_kept() -> None:
    skipped = [(7.0, 7.3, "a"), (7.4, 9.8, "phone"), (10.0, 10.2, "the")]
    heard = [(7.0, 7.3, "a"), (7.4, 7.8, "phone"), *said("he said ?no", 8.1), (10.0, 10.2, "the")]
    for left, right in ((skipped, heard), (heard, skipped)):
        joined = join(TWO, [part(0, segment(*left)), part(1, segment(*right))])
        assert words(joined) == ["a", "phone", "he", "said", "no", "the"]
        assert [w.start for one in joined for w in one.words] == [start for start, _, _ in heard]


def test_the_end_of_a_sentence_that_the_next_chunk_skipped_is_kept_to_the_edge() -> None:
    left = part(0, segment(*said("on the sixth of", 9.3), (11.3, 11.9, "November")))
    right = part(1, segment((9.3, 9.7, "on"), (12.1, 14.0, "Sunday"), (14.1, 14.5, "afternoon")))
    assert words(join(TWO, [left, right])) == ["on", "the", "sixth", "of", "November", "Sunday", "afternoon"]


def test_a_word_across_the_edge_of_the_other_chunk_is_not_lost() -> None:
    left = part(0, segment(*said("we left. Rachel went to", 9.3)))
    right = part(1, segment((9.3, 9.7, "we"), (9.8, 11.6, "and"), (11.9, 12.4, "She"), (12.5, 12.9, "likes")))
    heard = words(join(TWO, [left, right]))
    assert heard[-2:] == ["She", "likes"]


def test_segments_that_end_elsewhere_lose_and_double_nothing() -> None:
    spoken = said("a b c d e f g h i j k l", 6.2)
    left = part(0, segment(*spoken[:5]), segment(*spoken[5:11]))
    right = part(1, segment(*spoken[1:3]), segment(*spoken[3:8]), segment(*spoken[8:]))
    joined = join(TWO, [left, right])
    assert words(joined) == ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
    assert " ".join(texts(joined)) == "a b c d e f g h i j k l"


def test_without_word_times_nothing_is_lost_or_doubled() -> None:
    spoken = said("it was a dark night and the rain fell in torrents on the old town", 4)
    left = part(0, segment(*spoken[:14], times=False))
    right = part(1, segment(*spoken[5:], times=False), segment(*said("only the dogs were out", 15), times=False))
    joined = join(TWO, [left, right])
    assert " ".join(texts(joined)).split() == [w for _, _, w in spoken] + ["only", "the", "dogs", "were", "out"]
    assert not any(one.words for one in joined)
    assert in_order(joined, 20)


def test_without_word_times_a_segment_both_hold_is_taken_whole() -> None:
    both = segment(*said("we went home by the river", 7.4), times=False)
    left = part(0, segment(*said("it was late", 0), times=False), both)
    right = part(1, both, segment(*said("then we slept", 14), times=False))
    assert texts(join(TWO, [left, right])) == ["it was late", "we went home by the river", "then we slept"]


def test_japanese_has_no_spaces_at_a_seam() -> None:
    left = part(0, Segment(id=0, start=4, end=11, text="昨日は雨が降っていました", avg_logprob=0, no_speech_prob=0))
    right = part(1, Segment(id=0, start=7.5, end=15, text="降っていましたので家に", avg_logprob=0, no_speech_prob=0))
    assert text_of([one.text for one in join(TWO, [left, right])], "ja") == "昨日は雨が降っていましたので家に"


def test_a_silent_chunk_takes_nothing_from_its_neighbour() -> None:
    left = part(0, segment(*said("up to the very end of the chunk", 8.4)))
    assert words(join(TWO, [left, part(1)])) == ["up", "to", "the", "very", "end", "of", "the", "chunk"]
    right = part(1, segment(*said("from the very start on", 6.1)))
    assert words(join(TWO, [part(0), right])) == ["from", "the", "very", "start", "on"]


def test_chunks_with_a_long_silence_between_them_are_put_together() -> None:
    apart = plan((0, 10), (100, 110))
    left, right = part(0, segment(*said("the end", 9))), part(1, segment(*said("the end again", 100)))
    assert words(join(apart, [left, right])) == ["the", "end", "the", "end", "again"]


def test_a_single_chunk_is_unchanged_but_for_its_numbers() -> None:
    only = part(0, segment(*said("one two", 0)), segment(*said("three four", 2.5)))
    joined = join(plan((0, 20)), [only])
    assert [one.model_copy(update={"id": 7}) for one in joined] == only.segments
    assert [one.id for one in joined] == [0, 1]


def test_times_an_engine_got_wrong_are_put_in_order() -> None:
    wrong = part(0, segment((1, 2, "a"), (1.6, 2.4, "b"), (1.2, 1.1, "c"), (19.5, 22, "d")), segment((19.8, 25, "e")))
    joined = join(plan((0, 20)), [wrong])
    assert words(joined) == ["a", "b", "c", "d", "e"]
    assert in_order(joined, 20)


def test_no_chunks_no_segments() -> None:
    assert join(ChunkPlan(duration=5, speech_seconds=0, chunks=[], seams=[]), []) == []


@pytest.mark.parametrize(
    "parts", [[], [part(0)], [part(0), part(0)], [part(1), part(0)], [part(0), part(1), part(2)]], ids=len
)
def test_a_part_missing_out_of_order_or_too_many_is_refused(parts: list[ChunkTranscript]) -> None:
    with pytest.raises(ValueError, match=r"planned|to come"):
        join(TWO, parts)


def test_seconds_two_chunks_share_count_once() -> None:
    assert transcribed_seconds(TWO, [part(0, seconds=12), part(1, seconds=14)]) == 20
    assert transcribed_seconds(TWO, [part(0, seconds=12)]) == 12
    assert transcribed_seconds(TWO, [part(0, seconds=9), part(1, seconds=14)]) == 17


def test_the_language_most_was_spoken_in_wins() -> None:
    german = part(1, seconds=30).model_copy(update={"language": "de", "language_probability": 0.6})
    assert language_of([part(0, seconds=20), german]) == ("de", pytest.approx(0.6))
    assert language_of([]) == (None, 0.0)


def test_each_warning_stands_once() -> None:
    first, second = Warn(code="a", detail="x"), Warn(code="a", detail="y")
    assert distinct([first, second, first]) == [first, second]


# Whatever the words and the cuts: what the chunks heard makes the truth again.

VOCABULARY = ["no", "no", "very", "the", "boat", "Ada", "went", "home", "rain", "and", "it", "is"]
JITTER, GARBLED = 0.1, 0.8


def make_truth(rng: random.Random, duration: float) -> list[Said]:
    truth: list[Said] = []
    now = rng.uniform(0, 2)
    while True:
        length = rng.uniform(0.36, 0.8)
        if now + length > duration:
            return truth
        truth.append((round(now, 3), round(now + length, 3), rng.choice(VOCABULARY)))
        now += length + rng.choice([0.1, 0.1, 0.12, 0.3, 1.0, rng.uniform(0.1, 8)])


def make_plan(rng: random.Random, duration: float) -> ChunkPlan:
    seams, now = [], 0.0
    while (now := now + rng.uniform(16, 40)) < duration - 8:
        seams.append(now)
    starts = [0.0, *(seam - rng.uniform(2, 7) for seam in seams)]
    ends = [*(seam + rng.uniform(2, 7) for seam in seams), duration]
    chunks = [Chunk(index=i, start=s, end=e, spans=[]) for i, (s, e) in enumerate(zip(starts, ends, strict=True))]
    return ChunkPlan(duration=duration, speech_seconds=duration, chunks=chunks, seams=seams)


def hear(rng: random.Random, truth: list[Said], chunk: Chunk, duration: float) -> ChunkTranscript:
    """The words of the chunk's range: at a cut edge garbled or missing, everywhere a little off in time."""
    heard: list[Said] = []
    for start, end, text in truth:
        if end < chunk.start or start > chunk.end:
            continue
        near = (chunk.start > 0 and start < chunk.start + GARBLED) or (
            chunk.end < duration and end > chunk.end - GARBLED
        )
        if near and rng.random() < 0.7:
            if rng.random() < 0.5:
                continue
            text = f"x{rng.randrange(10**9)}"
        first, last = start + rng.uniform(-JITTER, JITTER) / 2, end + rng.uniform(-JITTER, JITTER) / 2
        inside = (max(first, chunk.start), min(last, chunk.end))
        heard.append((min(inside), max(inside), text))
    segments, at = [], 0
    while at < len(heard):
        size = rng.randint(1, 12)
        segments.append(segment(*heard[at : at + size]))
        at += size
    return part(chunk.index, *segments)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.floats(20, 200))
def test_no_word_is_lost_or_doubled_and_time_never_runs_back(seed: int, duration: float) -> None:
    rng = random.Random(seed)
    truth, cuts = make_truth(rng, duration), make_plan(rng, duration)
    joined = join(cuts, [hear(rng, truth, chunk, duration) for chunk in cuts.chunks])
    assert words(joined) == [text for _, _, text in truth]
    assert [one.text for one in joined] == ["".join(w.word for w in one.words).strip() for one in joined]
    assert [one.id for one in joined] == list(range(len(joined)))
    assert in_order(joined, duration)
    off = [
        abs(mine - true)
        for one, (start, end, _) in zip((w for s in joined for w in s.words), truth, strict=True)
        for mine, true in ((one.start, start), (one.end, end))
    ]
    assert max(off, default=0) <= 2 * JITTER


def mishear(rng: random.Random, heard: ChunkTranscript, flawed: set[int], truth: list[Said]) -> ChunkTranscript:
    """Here and there another word that is not sure, a loop, or nothing; never where the neighbour is wrong too."""
    segments = []
    for one in heard.segments:
        changed: list[Word] = []
        for this in one.words:
            middle = (this.start + this.end) / 2
            number = min(range(len(truth)), key=lambda n: abs((truth[n][0] + truth[n][1]) / 2 - middle))
            trouble = rng.choice(["other", "invented", "loop", "deaf"]) if number in flawed else ""
            if trouble == "other":
                text, chance = f" x{rng.randrange(10**4)}", rng.uniform(0.05, 0.5)
                changed.append(replace(this, word=text, probability=chance))
            elif trouble != "deaf":
                changed.append(replace(this, probability=rng.uniform(0.8, 1.0)))
            if trouble == "invented":
                changed.append(Word(start=this.end, end=this.end + 0.08, word=" hm", probability=rng.uniform(0, 0.45)))
            if trouble == "loop":
                again = [f" {truth[n][2]}" for n in range(max(0, number - 3), number + 1)]
                changed += [Word(start=this.end, end=this.end, word=w, probability=0.99) for w in again]
        if changed:
            text = "".join(w.word for w in changed).strip()
            segments.append(one.model_copy(update={"words": changed, "text": text}))
    return heard.model_copy(update={"segments": segments})


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_where_one_side_is_wrong_the_other_is_believed(seed: int) -> None:
    rng = random.Random(seed)
    truth, cuts = make_truth(rng, 120), make_plan(rng, 120)
    wrong: dict[int, set[int]] = {chunk.index: set() for chunk in cuts.chunks}
    for before, after in pairwise(cuts.chunks):
        for number in range(3, len(truth) - 1, 3):
            # Only where two chunks listen can one put the other right, and if they agree on what is around it.
            if after.start + 1 < truth[number - 1][0] and truth[number + 1][1] < before.end - 1:
                wrong[rng.choice([before.index, after.index])].add(number)
    parts = [mishear(rng, hear(rng, truth, chunk, 120), wrong[chunk.index], truth) for chunk in cuts.chunks]
    joined = join(cuts, parts)
    assert words(joined) == [text for _, _, text in truth]
    assert in_order(joined, 120)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_joining_what_was_joined_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    truth, cuts = make_truth(rng, 90), make_plan(rng, 90)
    joined = join(cuts, [hear(rng, truth, chunk, 90) for chunk in cuts.chunks])
    assert join(plan((0, 90)), [part(0, *joined)]) == joined


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_was_heard_time_never_runs_back(seed: int) -> None:
    rng = random.Random(seed)
    cuts = make_plan(rng, 90)
    parts = [hear(rng, make_truth(rng, 90), chunk, 90) for chunk in cuts.chunks]
    assert in_order(join(cuts, parts), 90)


def test_what_is_certain_is_given_out_at_once_and_nothing_else_is_held() -> None:
    seams = [60.0 * n for n in range(1, 20)]
    ranges = [(max(0.0, at - 65.0), min(1200.0, at + 5.0)) for at in [*seams, 1200.0]]
    joiner, given, cuts = Joiner(plan(*ranges)), list[Segment](), plan(*ranges)
    for chunk in cuts.chunks:
        said = [(at + 0.1, at + 0.9, f"w{at}") for at in range(round(chunk.start), round(chunk.end))]
        given += joiner.add(part(chunk.index, *(segment(*said[n : n + 6]) for n in range(0, len(said), 6))))
        if chunk.index < len(seams):
            certain = given[-1].end if given else 0.0
            assert chunk.end - 10 - REACH - 12 < certain < chunk.end - 10, "all up to the overlap, but no more"
            assert sum(len(source) for source in joiner._sources.values()) <= 2 * 12
    assert words(given) == [f"w{at}" for at in range(1200)]
    assert [one.id for one in given] == list(range(len(given)))
    assert in_order(given, 1200)
