"""The official OpenAI client against a running installation: nothing in it knows that we are not OpenAI."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import soundfile
from openai.types import audio
from pydantic import BaseModel

from tests.stack import KEY, ROOT, Stack
from tests.transcripts import plain

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
GRANULARITIES: tuple[list[str], ...] = ([], ["word"], ["segment"], ["word", "segment"])


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with client_of(stack, max_retries=0) as made:
        yield made


def client_of(stack: Stack, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{stack.port}/v1", **options)


def said(client: openai.OpenAI, **options: Any) -> Any:
    return client.audio.transcriptions.create(file=SAMPLE, model="whisper-1", **options)


def check(model: BaseModel, *more: str) -> None:
    """Everything in an answer is as OpenAI's types have it, and nothing is in it besides ``more``."""
    type(model).model_validate(model.model_dump(exclude_unset=True, exclude=set(more)), strict=True)
    assert set(model.model_extra or {}) <= set(more), model.model_extra
    for name in type(model).model_fields:
        value = getattr(model, name)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, BaseModel):
                check(part)


@pytest.mark.parametrize("granularities", GRANULARITIES)
@pytest.mark.parametrize("response_format", FORMATS)
def test_all_formats_with_all_granularities(
    client: openai.OpenAI, response_format: str, granularities: list[str]
) -> None:
    answer = said(client, response_format=response_format, timestamp_granularities=granularities)
    text = answer if isinstance(answer, str) else answer.text
    assert "Welcome to the product demo." in text
    if response_format == "verbose_json":
        assert isinstance(answer, audio.TranscriptionVerbose)
        check(answer, "task")
        assert (answer.language, answer.usage.type) == ("english", "duration")
        assert answer.duration == answer.usage.seconds == pytest.approx(29.38, abs=0.1)
        assert (answer.words is not None) == ("word" in granularities)
        assert (answer.segments is not None) == (granularities != ["word"])
        assert plain(" ".join(s.text for s in answer.segments or [])) in ("", plain(text))
        assert plain(" ".join(w.word for w in answer.words or [])) in ("", plain(text))
    elif response_format == "diarized_json":
        assert isinstance(answer, audio.TranscriptionDiarized)
        check(answer)
        assert {s.speaker for s in answer.segments} == {"A"}
    elif response_format == "json":
        check(answer)
    elif response_format in ("srt", "vtt"):
        assert "00:00:00" in text and "-->" in text


def test_either_spelling_of_lists(stack: Stack) -> None:
    for spelling in ("timestamp_granularities", "timestamp_granularities[]"):
        answer = stack.client.post(
            "/v1/audio/transcriptions",
            files={"file": ("a.flac", SAMPLE.read_bytes())},
            data={"model": "whisper-1", "response_format": "verbose_json", spelling: ["word", "segment"]},
        )
        assert answer.status_code == 200
        assert answer.json()["words"] and answer.json()["segments"]


def test_everything_that_the_client_can_send(client: openai.OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        file=("talk", SAMPLE.read_bytes()),
        model="gpt-transcribe",
        chunking_strategy={"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 500},
        include=["logprobs"],
        keywords=["Olivia", "Vienna"],
        languages=["en", "de"],
        prompt="A meeting.",
        temperature=0,
        extra_body={"max_line_width": 30, "metadata": {"case": "7"}},
    )
    check(answer)
    assert answer.languages is not None and [language.code for language in answer.languages] == ["en"]
    assert answer.logprobs
    assert "".join(entry.token or "" for entry in answer.logprobs).split() == answer.text.split()
    assert all(bytes(map(int, entry.bytes or [])).decode() == entry.token for entry in answer.logprobs)
    assert all(entry.logprob is not None and entry.logprob <= 0 for entry in answer.logprobs)


@pytest.mark.parametrize("stream", [False, True])
def test_without_a_diariser_all_speakers_are_one_and_a_header_says_why(client: openai.OpenAI, stream: bool) -> None:
    create = client.audio.transcriptions.with_raw_response.create
    answer = create(file=SAMPLE, model="gpt-4o-transcribe-diarize", response_format="diarized_json", stream=stream)
    assert (
        "told apart" in answer.headers["X-Speakers-Warning"] or "tells speakers" in answer.headers["X-Speakers-Warning"]
    )
    if not stream:
        assert {segment.speaker for segment in answer.parse().segments} == {"A"}
        assert "X-Speakers-Warning" not in create(file=SAMPLE, model="gpt-4o-transcribe-diarize").headers
    with pytest.raises(openai.BadRequestError, match=r"told apart|tells speakers"):
        create(file=SAMPLE, model="whisper-1", extra_body={"diarise": "true"})


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_translations(client: openai.OpenAI) -> None:
    for response_format in ("json", "text", "srt", "verbose_json", "vtt"):
        answer = client.audio.translations.create(file=SAMPLE, model="whisper-1", response_format=response_format)
        assert "Welcome to the product demo." in (answer if isinstance(answer, str) else answer.text)
        if response_format == "verbose_json":
            check(answer, "task")
            assert answer.language == "english" and answer.segments


def test_channels_are_speakers_where_no_others_can_be_told_apart(client: openai.OpenAI, tmp_path: Path) -> None:
    heard, rate = soundfile.read(SAMPLE)
    half, both = len(heard) // 2, np.zeros((len(heard), 2))
    both[:half, 0], both[half:, 1] = heard[:half], heard[half:]
    soundfile.write(tmp_path / "call.wav", both, rate)
    answer = client.audio.transcriptions.create(
        file=tmp_path / "call.wav", model="whisper-1", response_format="diarized_json", extra_body={"channels": "split"}
    )
    check(answer)
    assert list(dict.fromkeys(s.speaker for s in answer.segments)) == ["A", "B"]


def test_streams(client: openai.OpenAI) -> None:
    whole = said(client).text
    for response_format in ("json", "text", "diarized_json"):
        with said(client, stream=True, response_format=response_format, include=["logprobs"]) as stream:
            events = list(stream)
        for event in events:
            check(event)
        deltas = [e for e in events if e.type == "transcript.text.delta"]
        assert [e.type for e in events if e.type != "transcript.text.segment"][-1] == "transcript.text.done"
        assert "".join(e.delta for e in deltas) == events[-1].text == whole
        assert sum(len(e.logprobs) for e in deltas) == len(events[-1].logprobs) == len(whole.split())
        spoken = [e for e in events if e.type == "transcript.text.segment"]
        assert bool(spoken) == (response_format == "diarized_json")
        assert [e.segment_id for e in deltas if e.segment_id] == [e.id for e in spoken]


def test_the_asynchronous_client_and_one_job_for_all(stack: Stack) -> None:
    async def ask() -> set[str]:
        url = f"http://127.0.0.1:{stack.port}/v1"
        async with openai.AsyncOpenAI(api_key=KEY, base_url=url, max_retries=0) as client:
            raw = client.audio.transcriptions.with_raw_response
            # Nobody asked for it so far.
            asked = (raw.create(file=SAMPLE, model="demo", prompt="Six at a time.") for _ in range(6))
            answers = await asyncio.gather(*asked)
            assert all("Welcome" in answer.parse().text for answer in answers)
            stream = await client.audio.transcriptions.create(file=SAMPLE, model="demo", stream=True)
            assert [event.type async for event in stream][-1] == "transcript.text.done"
            return {answer.headers["X-Job-ID"] for answer in answers}

    jobs = asyncio.run(ask())
    assert len(jobs) == 1
    job = stack.client.get(f"/v1/jobs/{jobs.pop()}").json()
    assert (job["status"], job["options"]["priority"]) == ("done", "high")


def test_errors_have_the_classes_that_clients_catch(stack: Stack, client: openai.OpenAI) -> None:
    def refused(kind: type[openai.APIStatusError], code: str, param: str | None = None, **options: Any) -> None:
        with pytest.raises(kind) as caught:
            client.audio.transcriptions.create(**{"file": SAMPLE, "model": "whisper-1", **options})
        body: Any = caught.value.body
        assert type(caught.value) is kind
        assert set(body) == {"message", "type", "param", "code"}
        assert (caught.value.code, caught.value.param) == (code, param), body
        assert str(body["message"]).endswith(".")

    refused(openai.BadRequestError, "unsupported_media", file=("a.mp3", b"no recording at all" * 99))
    refused(openai.BadRequestError, "unsupported_media", file=("a.mp3", b""))
    refused(openai.BadRequestError, "unsupported_media", file=("a.mp3", b"nothing" * 99), stream=True)
    refused(openai.NotFoundError, "model_not_allowed", "model", model="large-v3")
    refused(openai.NotFoundError, "unknown_model", "model", model="no-such")
    for field, value in {
        "temperature": 2,
        "language": "klingon",
        "response_format": "xml",
        "include": ["everything"],
        "timestamp_granularities": ["letter"],
        "chunking_strategy": "never",
        "known_speaker_references": ["data:,"],
    }.items():
        refused(openai.BadRequestError, "invalid_option", field, **{field: value})
    refused(openai.BadRequestError, "invalid_option", "response_format", stream=True, response_format="srt")
    refused(openai.BadRequestError, "invalid_option", "volume", extra_body={"volume": 3})
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong-key-of-somebody").models.list()
    answer = stack.client.get("/v1/audio/nothing")
    assert (answer.status_code, set(answer.json())) == (404, {"error"})


def test_models(client: openai.OpenAI) -> None:
    found = client.models.list()
    ids = [model.id for model in found]
    assert ids[0] == "demo" and "whisper-1" in ids
    for model in found:
        check(model)
        check(client.models.retrieve(model.id))
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("somebody/some-model")


def test_the_gateway(stack: Stack) -> None:
    for path in ("/transcribe/demo", "/transcribe-demo"):
        answer = stack.client.post(path, files={"file": ("x", SAMPLE.read_bytes())})
        assert answer.status_code == 200
        assert set(answer.json()) == {"text", "language"}
        assert answer.json()["language"] == "en" and "Welcome" in answer.json()["text"]
    for path, status, code in (
        ("/transcribe/large-v3", 404, "model_not_allowed"),
        ("/transcribe-nothing", 404, "unknown_model"),
        ("/transcribe/org/no-such-model", 404, "model_not_allowed"),
    ):
        answer = stack.client.post(path, files={"file": ("x", b"x" * (40 << 20))})  # refused before it is read
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    answer = stack.client.post("/transcribe/demo", files={"file": ("x", b"nothing" * 99)})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media")
    bare = httpx.Client(base_url=stack.client.base_url, trust_env=False)
    with bare:
        assert bare.post("/transcribe/demo", files={"file": ("x", b"x" * (40 << 20))}).status_code == 401
        wrong = {"Authorization": "Bearer wrong-key-of-somebody"}
        assert bare.post("/transcribe/demo", files={"file": ("x", b"x")}, headers=wrong).status_code == 403


def test_one_job_for_twenty_posts_with_one_key(stack: Stack) -> None:
    sound, headers = SAMPLE.read_bytes(), {"Idempotency-Key": "twenty-at-once"}
    found: list[httpx.Response] = []

    def post() -> None:
        for _ in range(50):
            answer = stack.client.post("/v1/jobs", files={"file": ("a.flac", sound)}, headers=headers)
            if answer.status_code != 409:  # 409: the first is being accepted
                break
            time.sleep(0.1)
        found.append(answer)

    threads = [threading.Thread(target=post) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in found} == {202}
    assert len({answer.json()["id"] for answer in found}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in found) == 1
    stack.wait(found[0].json()["id"])
