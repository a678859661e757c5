"""OpenAI's forms and shapes: what clients of every kind write, odd input, transcripts that are not the usual ones."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from openai.types import audio
from pydantic import BaseModel

from pipelines.documents import Segment, Speaker, Transcript
from tests.unit.webapp.conftest import some_transcript
from webapp.errors import Problem
from webapp.intake.fingerprints import fingerprint, wishes
from webapp.openai import shapes
from webapp.openai.fields import MAX_FIELD_BYTES, MAX_SAMPLE, read
from webapp.services import Services

NO_SAMPLES = (
    *("data:,", "data:audio/wav;base64,", "data:audio/wav,UklG", "data:text/plain;base64,UklG"),
    *("data:audio/wav;base64,UklGR!!", "data:audio/wav;base64,UklGR"),
)
VOICE = "data:audio/wav;base64,UklGRgAA"


def serving(make: Callable[..., Flask], diarisation: str) -> Services:
    found: Services = make(diarisation=diarisation).extensions["longhand"]
    return found


def wanted(services: Services, *, translate: bool = False, **form: Any) -> Any:
    fields = {name: value if isinstance(value, list) else [str(value)] for name, value in form.items()}
    return read(services, fields, translate=translate)


def refused(services: Services, param: str, *, translate: bool = False, **form: Any) -> str:
    with pytest.raises(Problem) as caught:
        wanted(services, translate=translate, **form)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_option", param)
    assert caught.value.detail.endswith((".", "…"))
    return caught.value.detail


@pytest.mark.parametrize(
    "form",
    [
        {"timestamp_granularities": ["word", "segment"]},
        {"timestamp_granularities[]": ["word", "segment"]},
        {"timestamp_granularities[0]": ["word"], "timestamp_granularities[1]": ["segment"]},
        {"timestamp_granularities": ["word"], "timestamp_granularities[]": ["segment"]},
        {"timestamp_granularities": ["word,segment"]},
        {"timestamp_granularities": ['["word", "segment"]']},
    ],
)
def test_lists_as_clients_write_them(services: Services, form: dict[str, Any]) -> None:
    assert wanted(services, **form).wishes.timestamp_granularities == ["word", "segment"]


def test_objects_as_clients_write_them(services: Services) -> None:
    written = [
        {"chunking_strategy": '{"type": "server_vad", "threshold": 0.4}'},
        {"chunking_strategy[type]": "server_vad", "chunking_strategy[threshold]": "0.4"},
    ]
    for form in written:
        found = wanted(services, **form)
        assert found.wishes.chunking_strategy.threshold == 0.4
        assert (found.job.options["chunk_seconds"], found.job.options["vad_filter"]) == (30, True)
    assert wanted(services, chunking_strategy="auto").job.options["chunk_seconds"] == 600
    assert wanted(services, **{"metadata[case]": "7"}).job.metadata == {"case": "7"}


def test_fields_become_options(services: Services) -> None:
    found = wanted(
        services,
        model="gpt-4o-transcribe",
        language="German",
        prompt="Hello.",
        temperature="0.5",
        keywords=["Ada", "Müller, Karl"],
        hotwords="Bob",
        stream="True",
        max_line_width="30",
    )
    options = found.job.options
    assert (options["model"], options["language"], options["task"]) == ("demo", "de", "transcribe")
    assert (options["prompt"], options["temperature"]) == ("Hello.", 0.5)
    assert (options["hotwords"], options["max_line_width"]) == ("Bob, Ada, Müller, Karl", 30)
    assert (found.wishes.stream, options["chunk_seconds"]) == (True, 60)
    assert (found.job.priority, options["formats"]) == ("high", [])
    assert wanted(services, stream="true", chunk_seconds="90").job.options["chunk_seconds"] == 90
    assert wanted(services, priority="low", formats="srt").job.options["formats"] == ["srt"]
    assert wanted(services, translate=True).job.options["task"] == "translate"


def test_empty_fields_count_as_not_given(services: Services) -> None:
    names = ["model", "stream", "include[]", "chunking_strategy", "response_format", "temperature", "keywords[]"]
    assert wanted(services, **dict.fromkeys(names, "")).wishes == wanted(services).wishes


@pytest.mark.parametrize(
    ("param", "form"),
    [
        ("response_format", {"response_format": "xml"}),
        ("response_format", {"response_format": ["json", "text"]}),
        ("response_format", {"response_format": "srt", "stream": "true"}),
        ("stream", {"stream": "perhaps"}),
        ("include", {"include[]": "item[]"}),
        ("include", {"include": "[1"}),
        ("timestamp_granularities", {"timestamp_granularities[]": "letter"}),
        ("timestamp_granularities", {"timestamp_granularities": "[[]]"}),
        ("chunking_strategy", {"chunking_strategy": "never"}),
        ("chunking_strategy", {"chunking_strategy": "{"}),
        ("chunking_strategy", {"chunking_strategy[type]": "client_vad"}),
        ("threshold", {"chunking_strategy[type]": "server_vad", "chunking_strategy[threshold]": "nan"}),
        ("chunking_strategy[type]", {"chunking_strategy[type]": ["server_vad", "x"]}),
        ("temperature", {"temperature": "1.5"}),
        ("model", {"model": ["demo", "demo"]}),
        ("known_speaker_references", {"known_speaker_names[]": "Ada"}),
        ("known_speaker_references", {"known_speaker_names": "Ada", "known_speaker_references": "ada.wav"}),
        (
            "known_speaker_references",
            {"known_speaker_names": "Ada", "known_speaker_references": f"data:audio/wav;base64,{'A' * MAX_SAMPLE}"},
        ),
        *(
            ("known_speaker_references", {"known_speaker_names": "Ada", "known_speaker_references": sample})
            for sample in NO_SAMPLES
        ),
        ("known_speaker_names", {"known_speaker_names": list("abcde"), "known_speaker_references": [VOICE] * 5}),
        ("known_speaker_names", {"known_speaker_names": ["Ada", " Ada "], "known_speaker_references": [VOICE] * 2}),
        ("known_speaker_names", {"known_speaker_names": "A\nda", "known_speaker_references": VOICE, "diarise": "no"}),
        ("word_timestamps", {"word_timestamps": "no", "include": "logprobs"}),
        ("word_timestamps", {"word_timestamps": "false", "timestamp_granularities": "word"}),
        ("volume", {"volume": "3"}),
        ("volume[x][y]", {"volume[x][y]": "3"}),
        ("[]", {"[]": "3"}),
        ("", {"": "3"}),
    ],
)
def test_what_cannot_be_used_is_named(services: Services, param: str, form: dict[str, Any]) -> None:
    assert refused(services, param, **form)


def test_samples_of_voices_become_files_of_the_job(make: Callable[..., Flask]) -> None:
    head = "data:audio/x-wav;codecs=1;base64,"
    samples = [head + base64.b64encode(bytes([n]) * 1000).decode() for n in range(4)]
    form = {"known_speaker_names[]": list("abcd"), "known_speaker_references[]": samples}
    found = read(serving(make, "on"), form, translate=False)
    assert found.wishes.known_speaker_names == list("abcd")
    assert found.job.options["diarise"] is True
    assert found.job.attached.pop("voices.json") == b'{"names":["a","b","c","d"]}'
    assert found.job.attached == {f"voices/{n}": bytes([n]) * 1000 for n in range(4)}
    assert sum(map(len, samples)) < MAX_FIELD_BYTES


def test_other_samples_are_another_request(make: Callable[..., Flask]) -> None:
    services = serving(make, "on")

    def mark(sample: str, name: str = "Ada") -> str:
        form = {"known_speaker_names": [name], "known_speaker_references": [sample]}
        return fingerprint(wishes(read(services, form, translate=False).job))

    assert mark(VOICE) == mark(VOICE)
    assert len({mark(VOICE), mark(VOICE, "Bo"), mark("data:audio/wav;base64,UklGRg==")}) == 3


@pytest.mark.parametrize(
    ("form", "told_apart"),
    [
        ({}, False),
        ({"response_format": ["diarized_json"]}, True),
        ({"model": ["gpt-4o-transcribe-diarize"]}, True),
        ({"diarize": ["yes"]}, True),
        ({"response_format": ["diarized_json"], "diarise": ["false"]}, False),
        ({"response_format": ["diarized_json"], "num_speakers": ["2"]}, True),
    ],
)
def test_what_has_speakers_told_apart(make: Callable[..., Flask], form: dict[str, list[str]], told_apart: bool) -> None:
    assert read(serving(make, "on"), form, translate=False).job.options["diarise"] is told_apart


def test_where_they_cannot_be_told_apart_only_plain_words_are_refused(make: Callable[..., Flask]) -> None:
    services = serving(make, "off")
    for form in ({"response_format": ["diarized_json"]}, {"model": ["gpt-4o-transcribe-diarize"]}):
        assert read(services, form, translate=False).job.options["diarise"] is False
    for form in ({"diarise": ["true"]}, {"known_speaker_names": ["Ada"], "known_speaker_references": [VOICE]}):
        assert refused(services, "diarise", **form)


def test_translations_take_less(services: Services) -> None:
    for form in ({"stream": "true"}, {"timestamp_granularities": "word"}, {"task": "transcribe"}):
        assert refused(services, next(iter(form)), translate=True, **form)
    assert refused(services, "response_format", translate=True, response_format="diarized_json")


def test_of_a_long_prompt_the_end_counts(services: Services) -> None:
    def kept(prompt: str) -> str:
        found: str = wanted(services, prompt=prompt).job.options["prompt"]
        return found

    assert kept(f"{'word ' * 399}last.") == f"{'word ' * 399}last.", "2000 characters are not too many"
    long = kept(f"first {'words ' * 1000}at last")
    assert len(long) <= 2000 and long.startswith("words words ") and long.endswith(" words at last")
    assert kept("語" * 3000) == "語" * 2000
    assert len(kept(f"{'語' * 2000} {'語' * 1000}")) == 2000, "a single space far behind costs nothing"
    assert kept("x" * 500 + " y" * 1000) == "y" + " y" * 999
    with pytest.raises(Problem, match="prompt once"):
        wanted(services, prompt=["a" * 3000, "b"])


def test_as_many_keywords_count_as_fit(services: Services) -> None:
    def kept(**form: Any) -> str:
        found: str = wanted(services, **form).job.options["hotwords"]
        return found

    found = kept(keywords=[f"word{n}" for n in range(3000)]).split(", ")
    assert found == [f"word{n}" for n in range(len(found))] and 1980 < len(", ".join(found)) <= 2000
    assert kept(keywords=["x" * 3000, "Ada", "Ada", " Karl  Müller ", ""]) == "Ada, Karl Müller"
    assert kept(keywords=["Ada"], hotwords="y" * 1996) == "y" * 1996
    assert "keywords" in refused(services, "keywords", keywords="[1]")
    assert "hotwords" in refused(services, "hotwords", keywords="Ada", hotwords="y" * 2001)


def strict(kind: type[BaseModel], made: Any) -> Any:
    found = kind.model_validate_json(json.dumps(made), strict=True)
    assert set(found.model_extra or {}) <= {"task"}
    return found


def empty() -> Transcript:
    update = {"text": "", "segments": [], "language": None, "duration": 0.0}
    return some_transcript().model_copy(update=update)


@pytest.mark.parametrize("found", [some_transcript(), empty()])
def test_every_shape_is_valid(found: Transcript) -> None:
    strict(audio.Transcription, shapes.plain(found, logprobs=True, languages=True))
    strict(audio.Transcription, shapes.plain(found, logprobs=False, languages=False))
    for words in (False, True):
        for segments in (False, True):
            made = shapes.verbose(found, temperature=0.0, words=words, segments=segments)
            got = strict(audio.TranscriptionVerbose, made)
            assert (got.words is not None, got.segments is not None) == (words, segments)
            assert got.language == "english"
    strict(audio.TranslationVerbose, shapes.translated_verbose(found, temperature=1.0))
    strict(audio.TranscriptionDiarized, shapes.diarized(found))


def test_languages_have_their_full_names() -> None:
    for code, name in {"de": "german", "yue": "cantonese", "ht": "haitian creole", None: "english"}.items():
        assert shapes.language_name(some_transcript().model_copy(update={"language": code})) == name


def test_speakers_are_letters_in_the_order_they_appear() -> None:
    name = shapes.naming([])
    names = [name(f"SPEAKER_{n:02}") for n in (7, 3, 7, *range(30, 56))]
    assert names[:3] == ["A", "B", "A"]
    assert names[-3:] == ["Z", "AA", "AB"]
    assert shapes.naming([])(None) == "A"


def test_speakers_who_are_known_have_their_names_and_no_letter_is_a_name() -> None:
    known = [Speaker(id=f"SPEAKER_0{n}", name=name, seconds=1) for n, name in enumerate(["Ada", "SPEAKER_01", "A"])]
    name = shapes.naming(known)
    assert [name(one.id) for one in known] == ["Ada", "B", "A"]


def test_a_probability_of_nothing_has_a_logarithm(services: Services) -> None:
    segment = some_transcript().segments[1]
    words = [
        word.__class__(word.start, word.end, word.word, p) for word, p in zip(segment.words, (0, 1.2), strict=False)
    ]
    entries = list(shapes.logprobs_of(Segment(**{**dict(segment), "words": words})))
    assert entries[0] == {"token": " Über", "bytes": list(" Über".encode()), "logprob": pytest.approx(-23.03, abs=0.01)}
    assert entries[1]["logprob"] == 0
