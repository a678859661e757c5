from pathlib import Path

import pytest
from folder_files import FolderFiles

from pipelines.documents import (
    Chunk,
    ChunkPlan,
    ChunkTranscript,
    Document,
    Language,
    Media,
    Segment,
    Span,
    Transcript,
    Warn,
    Word,
)
from pipelines.stage import discover

DEMO = Warn(code="demo_model", detail="Knows little.")
MEDIA = Media(format="mp3", codec="mp3", duration=20, sample_rate=44_100, channels=2, warnings=[])
PLAN = ChunkPlan(
    duration=20,
    speech_seconds=18,
    chunks=[
        Chunk(index=0, start=0, end=12, spans=[Span(start=1, end=12)]),
        Chunk(index=1, start=8, end=20, spans=[Span(start=8, end=19)]),
    ],
    seams=[10],
)
SILENT = ChunkPlan(duration=20, speech_seconds=0, chunks=[], seams=[])


def heard(index: int, *texts: str, start: float, language: str = "en", seconds: float = 11) -> ChunkTranscript:
    """One segment for each text, words of 0.5 s."""
    segments = []
    for text in texts:
        words = [
            Word(start=start + i / 2, end=start + i / 2 + 0.5, word=f" {w}", probability=1)
            for i, w in enumerate(text.split())
        ]
        start = words[-1].end
        segments.append(
            Segment(id=0, start=words[0].start, end=start, text=text, avg_logprob=-0.1, no_speech_prob=0, words=words)
        )
    return ChunkTranscript(
        index=index,
        language=language,
        language_probability=0.8,
        model="loaded",
        transcribed_seconds=seconds,
        segments=segments,
        warnings=[DEMO],
    )


def run(
    folder: Path,
    plan: ChunkPlan,
    *parts: ChunkTranscript,
    media: Media = MEDIA,
    voted: Language | None = None,
    **options: object,
) -> Transcript:
    documents: dict[str, Document] = {"media.json": media, "chunks.json": plan}
    documents |= {f"segments/{part.index}.json": part for part in parts}
    if voted:
        documents["language.json"] = voted
    (folder / "segments").mkdir()
    for name, document in documents.items():
        (folder / name).write_text(document.model_dump_json())
    stage = discover()["merge"]
    stage.run(FolderFiles(stage, folder), stage.pick(options), lambda done, total: None)
    return Transcript.model_validate_json((folder / "transcript.json").read_bytes())


def test_the_chunks_become_one_transcript(tmp_path: Path) -> None:
    left = heard(0, "it was a dark", "and stormy night", start=8)
    right = heard(1, "was a dark", "and stormy night", "and it rained", start=8.5)
    transcript = run(tmp_path, PLAN, left, right)
    assert transcript.text == "it was a dark and stormy night and it rained"
    assert [segment.id for segment in transcript.segments] == [0, 1, 2]
    assert (transcript.language, transcript.language_probability, transcript.model) == ("en", 0.8, "loaded")
    assert (transcript.duration, transcript.speech_seconds, transcript.transcribed_seconds) == (20, 18, 18)
    assert transcript.warnings == [DEMO]


def test_what_the_file_warned_of_comes_first(tmp_path: Path) -> None:
    cut = Warn(code="truncated", detail="The file is cut short.")
    media = MEDIA.model_copy(update={"warnings": [cut, DEMO]})
    transcript = run(tmp_path, PLAN, heard(0, "one", start=2), heard(1, "two", start=15), media=media)
    assert transcript.warnings == [cut, DEMO]


def test_speech_the_engine_left_out_is_told(tmp_path: Path) -> None:
    transcript = run(tmp_path, PLAN, heard(0, "one", start=2, seconds=6), heard(1, "two", start=15))
    assert transcript.transcribed_seconds == 13
    assert [warn.code for warn in transcript.warnings] == ["demo_model", "speech_left_out"]


@pytest.mark.parametrize(
    ("options", "voted", "language"),
    [
        ({}, None, None),
        ({"language": "Welsh"}, None, "cy"),
        ({}, Language(language="de", probability=0.4), "de"),
    ],
)
def test_silence_is_an_empty_transcript(
    tmp_path: Path, options: dict[str, str], voted: Language | None, language: str | None
) -> None:
    transcript = run(tmp_path, SILENT, voted=voted, model="small", **options)
    assert (transcript.text, transcript.segments, transcript.language) == ("", [], language)
    assert (transcript.model, transcript.duration, transcript.transcribed_seconds) == ("small", 20, 0)


def test_the_vote_tells_how_sure_the_language_is(tmp_path: Path) -> None:
    parts = heard(0, "一", "二", start=2, language="zh"), heard(1, "三", start=15, language="zh")
    transcript = run(tmp_path, PLAN, *parts, voted=Language(language="zh", probability=0.97))
    assert (transcript.text, transcript.language_probability) == ("一二三", 0.97)


def test_a_translation_is_english_whatever_was_spoken(tmp_path: Path) -> None:
    parts = heard(0, "one", start=2, language="ja"), heard(1, "two", start=15, language="ja")
    transcript = run(tmp_path, PLAN, *parts, task="translate")
    assert (transcript.text, transcript.language, transcript.task) == ("one two", "ja", "translate")


def test_a_chunk_that_is_missing_is_no_transcript(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="planned"):
        run(tmp_path, PLAN, heard(0, "one", start=2))


def test_channels_become_speakers(tmp_path: Path) -> None:
    alike = Warn(code="channels_alike", detail="Channel 3 is channel 1.")
    chunks = [
        Chunk(index=n, start=0, end=20, spans=[Span(start=1, end=12)], channel=channel)
        for n, channel in enumerate((1, 2))
    ]
    plan = ChunkPlan(duration=20, speech_seconds=22, chunks=chunks, seams=[], warnings=[alike])
    parts = heard(0, "are you there", "we begin", start=2), heard(1, "yes I am", start=3)
    transcript = run(tmp_path, plan, *parts)
    assert transcript.text == "are you there yes I am we begin"
    assert [(one.id, one.name, one.seconds) for one in transcript.speakers] == [
        ("Channel 1", "Channel 1", 2.5),
        ("Channel 2", "Channel 2", 1.5),
    ]
    assert (transcript.speech_seconds, transcript.transcribed_seconds) == (22, 22)
    assert transcript.warnings == [alike, DEMO]


def test_one_channel_without_a_word_is_no_speaker(tmp_path: Path) -> None:
    chunk = Chunk(index=0, start=0, end=20, spans=[Span(start=1, end=12)], channel=2)
    plan = ChunkPlan(duration=20, speech_seconds=11, chunks=[chunk], seams=[])
    assert run(tmp_path, plan, ChunkTranscript(**{**dict(heard(0, "x", start=1)), "segments": []})).speakers == []
