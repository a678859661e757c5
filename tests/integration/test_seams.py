"""Seams forced into the middle of words of speech without a pause, against the direct run over the same recording.

The planner looks for pauses and would never cut so; here every seam and every chunk's edge goes through a word.

The demo model mishears some dense speech in one context and not in another, and a word that the direct run itself has
wrong says nothing about seams. So the recordings are such that the direct run has next to nothing wrong and, near the
seams, only words that were really said; both are asserted. Of eight recordings tried, with one, two and six voices,
three failed that: one by its error rate, two by one word near a seam that nobody said. Four of the others are below;
each takes ten seconds, so two are usual, and ``LONGHAND_TEST_SEAMS=all`` takes all.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.documents import Chunk, ChunkPlan, ChunkTranscript, Segment, Span
from pipelines.engines import EngineSettings, loader
from pipelines.engines.holder import Holder
from pipelines.joining import join
from pipelines.stage import discover
from tests import recordings
from tests.folder_files import FolderFiles
from tests.stack import ROOT
from tests.transcripts import Timed, missing_and_doubled, near, plain, word_error_rate

RECORDINGS = {
    "six voices": (51, None),
    "two voices": (52, ("en-us+m3", "en-us+f1")),
    "a woman": (50, ("en-us+f3",)),
    "a man": (52, ("en-us",)),
}
"""Seed and voices."""
if os.environ.get("LONGHAND_TEST_SEAMS") != "all":
    RECORDINGS = {name: RECORDINGS[name] for name in ("six voices", "a woman")}
GAP = (0.1, 0.15)
"""Seconds between two sentences."""
APART = 12.0
"""Seconds from seam to seam."""
REACHES = (5.0, 5.8, 6.6, 7.5)
"""Seconds a chunk goes on beyond its seam, in turn."""
OPTIONS = {"language": "en", "beam_size": 5, "temperature": 0.0}


@dataclass(frozen=True)
class Case:
    """One recording, in chunks and directly."""

    said: recordings.Recording
    plan: ChunkPlan
    parts: list[ChunkTranscript]
    direct: list[Timed]

    @property
    def joined(self) -> list[Timed]:
        return timed(join(self.plan, self.parts))


def timed(segments: Iterable[Segment]) -> list[Timed]:
    return [(w.start, w.end, part) for one in segments for w in one.words for part in plain(w.word).split()]


def forced(said: recordings.Recording) -> ChunkPlan:
    """Chunks whose seams and edges each go through the middle of a word."""

    def inside_a_word(near: float) -> float:
        middles = [(word.start + word.end) / 2 for word in said.words]
        return round(min(middles, key=lambda middle: abs(middle - near)), 3)

    count = int(said.duration / APART) - 1
    seams = [inside_a_word((number + 1) * APART) for number in range(count)]
    reach = [REACHES[number % len(REACHES)] for number in range(count)]
    starts = [0.0, *(inside_a_word(seam - by) for seam, by in zip(seams, reach, strict=True))]
    ends = [*(inside_a_word(seam + by) for seam, by in zip(seams, reversed(reach), strict=True)), said.duration]
    chunks = [
        Chunk(index=number, start=start, end=end, spans=[Span(start=start, end=end)])
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    return ChunkPlan(duration=said.duration, speech_seconds=said.duration, chunks=chunks, seams=seams)


@pytest.fixture(scope="module")
def models() -> Holder:
    return Holder(EngineSettings(device="cpu", cpu_threads=1, batch_size=1), loader("faster-whisper"))


@pytest.fixture(scope="module", params=RECORDINGS.values(), ids=RECORDINGS)
def case(request: pytest.FixtureRequest, models: Holder, tmp_path_factory: pytest.TempPathFactory) -> Case:
    seed, voices = request.param
    said = recordings.recording(120, seed=seed, gap=GAP, voices=voices)
    plan = forced(said)
    folder = tmp_path_factory.mktemp("forced")
    said.write(folder / "audio.wav")
    (folder / "chunks.json").write_text(plan.model_dump_json(), encoding="utf-8")
    parts = [transcribed(folder, chunk.index, models) for chunk in plan.chunks]
    return Case(said, plan, parts, direct_run(folder / "audio.wav"))


def transcribed(folder: Path, index: int, models: Holder) -> ChunkTranscript:
    stage = discover()["transcribe"]
    files = FolderFiles(stage, folder, item=index)
    stage.run(files, stage.pick({"model": "demo", **OPTIONS}), lambda done, total: None, models=models)
    return ChunkTranscript.model_validate_json((folder / "segments" / f"{index}.json").read_bytes())


def direct_run(path: Path) -> list[Timed]:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(str(ROOT / "models" / "demo" / "whisper"), device="cpu", compute_type="int8", cpu_threads=1)
    segments, _ = BatchedInferencePipeline(model).transcribe(str(path), word_timestamps=True, batch_size=8, **OPTIONS)
    return [(w.start, w.end, key) for segment in segments for w in segment.words or [] for key in plain(w.word).split()]


@pytest.mark.slow
def test_the_seams_are_in_the_middle_of_words_of_unbroken_speech(case: Case) -> None:
    assert len(case.plan.seams) >= 8
    edges = [edge for before, after in pairwise(case.plan.chunks) for edge in (before.end, after.start)]
    assert all(any(w.start < at < w.end for w in case.said.words) for at in [*case.plan.seams, *edges])
    assert max(after.start - before.end for before, after in pairwise(case.said.words)) < 0.3


@pytest.mark.slow
def test_the_direct_run_is_right_near_the_seams(case: Case) -> None:
    assert word_error_rate(case.said.text, " ".join(word for _, _, word in case.direct)) <= 0.01
    said = [(w.start, w.end, part) for w in case.said.words for part in plain(w.text).replace("'", " ").split()]
    compared = near(case.direct, case.plan.seams)
    assert len(compared) > 100
    assert missing_and_doubled(compared, said, case.plan.seams)[0] == []


@pytest.mark.slow
def test_no_word_the_direct_run_has_near_a_seam_is_missing_or_stands_twice(case: Case) -> None:
    assert missing_and_doubled(case.direct, case.joined, case.plan.seams) == ([], [])


@pytest.mark.slow
def test_a_cut_by_time_alone_would_be_found_out(case: Case) -> None:
    """What the criterion is worth: it sees a word lost at a seam, and a stretch that stands twice."""
    whole = [timed(part.segments) for part in case.parts]
    bounds = list(pairwise([0.0, *case.plan.seams, case.said.duration]))
    only_whole_words = [
        word
        for words, (start, end) in zip(whole, bounds, strict=True)
        for word in words
        if start <= word[0] and word[1] <= end
    ]
    missing, _ = missing_and_doubled(case.direct, only_whole_words, case.plan.seams)
    assert len(missing) >= len(case.plan.seams) / 2
    _, doubled = missing_and_doubled(case.direct, [word for words in whole for word in words], case.plan.seams)
    assert len(doubled) > 100
