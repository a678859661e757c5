"""Channels that are heard apart: one plan, one timeline."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import channels, joining
from pipelines.channels import ChannelJoiner, apart, join, joiner, together
from pipelines.documents import Chunk, ChunkPlan, Segment, Span, Speaker
from pipelines.totals import transcribed_seconds
from tests.unit.test_joining import hear, make_plan, make_truth, part, said, segment, texts, words


def whole(duration: float = 30.0, *, count: int = 2) -> ChunkPlan:
    """One chunk for each channel."""
    own = Chunk(index=0, start=0, end=duration, spans=[Span(start=0, end=duration)])
    plan = ChunkPlan(duration=duration, speech_seconds=duration, chunks=[own], seams=[])
    return together({number + 1: plan for number in range(count)}, duration)


def joined(*heard: list[Segment]) -> list[Segment]:
    return list(join(whole(count=len(heard)), [part(n, *segments) for n, segments in enumerate(heard)]))


def lines(segments: list[Segment]) -> list[str]:
    return [f"{(one.speaker or '')[-1]}: {one.text}" for one in segments]


def test_a_plan_without_channels_is_written_as_it_always_was() -> None:
    text = make_plan(random.Random(1), 60).model_dump_json()
    assert "channel" not in text and "warnings" not in text
    assert isinstance(joiner(ChunkPlan.model_validate_json(text)), joining.Joiner)


def test_plans_are_put_together_in_time_and_taken_apart_again() -> None:
    plans = {number: make_plan(random.Random(number), 200) for number in (1, 2, 5)}
    plan = together(plans, 200)
    assert [chunk.index for chunk in plan.chunks] == list(range(sum(len(one.chunks) for one in plans.values())))
    assert all(one.start <= other.start for one, other in pairwise(plan.chunks))
    assert plan.speech_seconds == 600
    assert ChunkPlan.model_validate_json(plan.model_dump_json()) == plan
    for number, own in apart(plan).items():
        assert own.seams == plans[number or 0].seams
        assert [(c.start, c.end) for c in own.chunks] == [(c.start, c.end) for c in plans[number or 0].chunks]


def test_whoever_speaks_is_their_channel() -> None:
    found = joined([segment(*said("good morning", 1))], [segment(*said("hello there", 4))])
    assert lines(found) == ["1: good morning", "2: hello there"]
    assert {word.speaker for word in found[1].words} == {"Channel 2"}
    assert [one.id for one in found] == [0, 1]


def test_an_answer_stands_where_it_was_given() -> None:
    asked = segment(*said("are you there", 1), *said("good then we begin", 6))
    assert lines(joined([asked], [segment(*said("yes I am", 3.5))])) == [
        "1: are you there",
        "2: yes I am",
        "1: good then we begin",
    ]


def test_a_short_pause_after_a_sentence_is_room_for_an_answer() -> None:
    asked = segment(*said("are you there?", 1), (2.65, 3.0, "good"))
    assert lines(joined([asked], [segment((2.4, 2.6, "yes"))])) == ["1: are you there?", "2: yes", "1: good"]


def test_what_is_said_meanwhile_tears_no_sentence_apart() -> None:
    long = segment(*said("it was a long and dark night and nobody slept", 1))
    found = joined([long], [segment((2.1, 2.4, "mhm"))])
    assert lines(found) == ["1: it was a long and dark night and nobody slept", "2: mhm"]
    assert found[0].end > found[1].start, "they did speak at the same time"


def test_without_word_times_segments_stay_whole() -> None:
    asked = segment(*said("are you there", 1), *said("good", 6), times=False)
    assert lines(joined([asked], [segment(*said("yes", 3.5), times=False)])) == ["1: are you there good", "2: yes"]


def test_a_channel_in_which_nothing_is_heard_holds_up_nobody() -> None:
    joins = ChannelJoiner(whole(count=3))
    assert joins.add(part(0, segment(*said("hello", 1)))) == []
    assert joins.add(part(1)) == []
    assert texts(joins.add(part(2))) == ["hello"]


def test_parts_must_come_in_order_and_all_of_them() -> None:
    with pytest.raises(ValueError, match="chunk 0 is to come"):
        ChannelJoiner(whole()).add(part(1))
    with pytest.raises(ValueError, match="2 chunks were planned, 1 are there"):
        list(join(whole(), [part(0)]))


def test_speakers_are_those_who_said_something() -> None:
    seconds = {"Channel 10": 2.5, "Channel 2": 1.00049, None: 3.0}
    assert channels.speakers(whole(count=11), seconds) == [
        Speaker(id="Channel 2", name="Channel 2", seconds=1.0),
        Speaker(id="Channel 10", name="Channel 10", seconds=2.5),
    ]
    assert channels.speakers(make_plan(random.Random(1), 60), {None: 3.0}) == []


def test_the_seconds_of_channels_add_up() -> None:
    assert transcribed_seconds(whole(30), [part(0, seconds=30), part(1, seconds=30)]) == 60


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.floats(20, 150), st.integers(1, 4))
def test_no_word_is_lost_and_everything_is_in_order(seed: int, duration: float, count: int) -> None:
    rng = random.Random(seed)
    truths = {number: make_truth(rng, duration) for number in range(1, count + 1)}
    plan = together({number: make_plan(rng, duration) for number in truths}, duration)
    parts = [
        hear(rng, truths[chunk.channel or 0], chunk, duration).model_copy(update={"index": chunk.index})
        for chunk in plan.chunks
    ]
    joins = joiner(plan)
    live = [one for each in parts for one in joins.add(each)]
    assert live == list(join(plan, parts)), "what is seen live is the transcript"
    for number, truth in truths.items():
        own = [one for one in live if one.speaker == f"Channel {number}"]
        assert words(own) == [text for _, _, text in truth]
        assert all(one.end <= other.start for one, other in pairwise(own))
        times = [time for one in own for word in one.words for time in (word.start, word.end)]
        assert times == sorted(times) and all(0 <= time <= duration for time in times)
    assert [one.id for one in live] == list(range(len(live)))
    assert all(one.start <= other.start for one, other in pairwise(live))
    assert all(one.text == "".join(word.word for word in one.words).strip() for one in live)


def test_little_is_held_however_long_it_is() -> None:
    rng = random.Random(4)
    truths = {number: make_truth(rng, 1500) for number in (1, 2)}
    plan = together({number: make_plan(rng, 1500) for number in truths}, 1500)
    joins, given, most = ChannelJoiner(plan), 0, 0
    for chunk in plan.chunks:
        found = hear(rng, truths[chunk.channel or 0], chunk, 1500).model_copy(update={"index": chunk.index})
        given += len(joins.add(found))
        most = max(most, sum(len(held) for held in joins._waiting.values()))
    assert given > 150 and most < 40
