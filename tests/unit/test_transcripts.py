import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import transcripts
from pipelines.documents import Segment, Speaker, Transcript, Warn, Word


def of(*texts: str) -> Transcript:
    segments = [
        Segment(
            id=n,
            start=n,
            end=n + 0.5,
            text=text,
            avg_logprob=-0.1,
            no_speech_prob=0,
            words=[Word(start=n, end=n + 0.5, word=f" {text}", probability=0.5)],
        )
        for n, text in enumerate(texts)
    ]
    return Transcript(
        text=" ".join(texts),
        language="en",
        language_probability=0.9,
        duration=len(texts),
        speech_seconds=1,
        transcribed_seconds=1,
        model="demo",
        segments=segments,
        speakers=[Speaker(id="S", name='"],[', seconds=1)],
        warnings=[Warn(code="w", detail='"segments":[')],
    )


def written(transcript: Transcript) -> bytes:
    return "".join(transcripts.lines(transcript, transcript.segments)).encode()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_what_is_written_is_plain_json_and_is_read_back(texts: list[str]) -> None:
    transcript = of(*texts)
    assert transcripts.read(io.BytesIO(written(transcript))) == transcript
    assert Transcript.model_validate(json.loads(written(transcript))) == transcript


def test_the_head_is_there_without_the_segments() -> None:
    summary = transcripts.read_summary(io.BytesIO(written(of("a", "b"))))
    assert (summary.text, summary.speakers[0].name, summary.language) == ("a b", '"],[', "en")


def test_segments_come_one_at_a_time() -> None:
    stream = io.BytesIO(written(of(*(f"word{n}" for n in range(1000)))))
    transcripts.read_summary(stream)
    segments = transcripts.read_segments(stream)
    assert next(segments).text == "word0"
    assert stream.tell() < len(stream.getvalue()) / 2, "the rest has not been read"
    assert [s.text for s in segments][-1] == "word999"


@pytest.mark.parametrize("cut", [0, 20, -4, -60])
def test_a_file_that_breaks_off_is_not_taken_for_a_short_one(cut: int) -> None:
    with pytest.raises(ValueError):
        transcripts.read(io.BytesIO(written(of("a", "b", "c"))[:cut]))
