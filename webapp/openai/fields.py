"""The forms of OpenAI's clients, read into the options of a job and the wishes for its answer."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from config.models import DIARISING_MODEL
from pipelines.stages.diarise import MAX_KNOWN
from pipelines.stages.transcribe import MAX_TEXT
from webapp.errors import bad_option
from webapp.intake.options import JobRequest, check_fields
from webapp.intake.uploads import MAX_FIELD_BYTES as PLAIN_FIELD_BYTES
from webapp.intake.values import BOOLEANS
from webapp.openai.voices import MAX_SAMPLE, known_voices
from webapp.services import Services
from webapp.waiting.synchronous import Fields, reading

MAX_FIELD_BYTES = MAX_KNOWN * MAX_SAMPLE + PLAIN_FIELD_BYTES
"""All fields of a form together: samples of voices come as text."""
STREAM_CHUNK_SECONDS = 60
"""Length of the pieces whose text is sent as they finish, unless the request says otherwise."""
_VAD_CHUNK_SECONDS = 30
_LONGEST_WORD = 100
_BRACKETS = re.compile(r"(?P<name>[^\[\]]+)\[(?P<key>[^\[\]]*)\]")
Granularity = Literal["word", "segment"]
AnyFormat = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]
STREAMED = ("json", "text", "diarized_json")
"""Formats that can be streamed."""


class Vad(BaseModel):
    """How the recording is cut."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["server_vad"]
    prefix_padding_ms: int = Field(300, ge=0, le=10_000)
    silence_duration_ms: int = Field(200, ge=0, le=60_000)
    threshold: float = Field(0.5, ge=0, le=1)


class Plain(BaseModel):
    """The wishes for the answer of a translation."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = Field(
        "json", description="What the answer looks like."
    )


class Wishes(Plain):
    """The wishes for the answer of a transcription."""

    response_format: AnyFormat = Field(  # type: ignore[assignment]  # more of them
        "json",
        description="What the answer looks like. diarized_json has speakers told apart; where that cannot be done, all "
        "are A, and the header X-Speakers-Warning says why.",
    )
    stream: bool = Field(
        False,
        description="Send the text as Server-Sent Events while it is being made; with the formats json, text and "
        "diarized_json.",
    )
    include: list[Literal["logprobs"]] = Field(
        [],
        description="logprobs: how sure the model is of each word, as a token; in json and in streams.",
    )
    timestamp_granularities: list[Granularity] = Field(
        [], description="What verbose_json holds times of: segments when not given. Other formats do not change."
    )
    chunking_strategy: Literal["auto"] | Vad | None = Field(
        None,
        description="auto, or an object of type server_vad, which makes the pieces short. Recordings are cut in their "
        "silences in any case; the figures in the object change nothing.",
    )
    keywords: list[str] = Field(
        [], description=f"Names and words to expect, besides hotwords; as many count as fit into {MAX_TEXT} characters."
    )
    known_speaker_names: list[str] = Field(
        [],
        max_length=MAX_KNOWN,
        description="Names of the people in known_speaker_references; who sounds like one of them is called so.",
    )
    known_speaker_references: list[str] = Field(
        [],
        max_length=MAX_KNOWN,
        description="As many samples of voices as there are names, of 2 to 10 seconds each, as data URLs in base64.",
    )

    @property
    def words(self) -> bool:
        """Whether the answer cannot be made without the times of words."""
        return "word" in self.timestamp_granularities or "logprobs" in self.include


@dataclass(frozen=True)
class Wanted:
    """What a request wants."""

    job: JobRequest
    wishes: Wishes
    model: str
    """As the client calls it."""


def read(s: Services, form: Fields, *, translate: bool) -> Wanted:
    """A form as what is wanted.

    Args:
        s: The services.
        form: Field name -> its values.
        translate: Whether the answer is to be in English.

    Raises:
        Problem: 400, which names the field; 404 the model.
        pipelines.errors.OptionsError: Fields contradict each other.
    """
    kind = Plain if translate else Wishes
    mine: dict[str, list[str]] = {}
    jobs: dict[str, list[str]] = {}
    for name, texts in _unbracketed(form).items():
        given = [text for text in texts if text.strip()]
        (mine if name in kind.model_fields else jobs)[name] = given
    values = {name: _value(kind, name, given) for name, given in mine.items() if given}
    wishes = Wishes.model_validate(check_fields(kind, values).model_dump())
    _check_stream(wishes)
    voices = known_voices(wishes.known_speaker_names, wishes.known_speaker_references)
    wishes = wishes.model_copy(update={"known_speaker_references": []})  # megabytes, for as long as somebody waits
    model = _once("model", jobs.pop("model", []))
    jobs |= {"model": [model]} if model else {}
    _translate(jobs, translate)
    said = [text for name in ("diarise", "diarize") for text in jobs.get(name, [])]
    split = [text.strip().casefold() for text in jobs.get("channels", [])] == ["split"]
    if not said and not split and _diarises(s, wishes, model):
        jobs["diarise"] = ["true"]
    elif not said and not voices:
        jobs["diarise"] = ["false"]  # also where the model's name alone would say otherwise
    elif voices and (split or BOOLEANS.get("".join(said[:1]).strip().casefold()) is False):
        detail = "known_speaker_names are of speakers who are told apart; leave out the names, or diarise and channels."
        raise bad_option(detail, param="known_speaker_names")
    return Wanted(reading(s, _with(jobs, wishes)).with_files(voices), wishes, model)


def _diarises(s: Services, wishes: Wishes, model: str) -> bool:
    """Whether speakers are to be told apart, where no field says it plainly."""
    if wishes.known_speaker_names:
        return True
    # Asked for by a format or the name of a model alone: where it cannot be had the transcript is still wanted.
    asked = wishes.response_format == "diarized_json" or model == DIARISING_MODEL
    return asked and not s.diarising.missing() and not s.serving.missing([s.diarising.queue or ""])


def _unbracketed(form: Fields) -> dict[str, list[str]]:
    """``name[]`` and ``name[0]`` as values of ``name``, ``name[key]`` as an object of them: so clients write them."""
    found: dict[str, list[str]] = {}
    objects: dict[str, dict[str, str]] = {}
    for spelling, texts in form.items():
        split = _BRACKETS.fullmatch(spelling)
        if split is None:
            found.setdefault(spelling, []).extend(texts)
        elif not split["key"] or split["key"].isdecimal():
            found.setdefault(split["name"], []).extend(texts)
        elif len(texts) != 1:
            raise bad_option(f"Give {spelling[:60]} once, not {len(texts)} times.", param=spelling[:60])
        else:
            objects.setdefault(split["name"], {})[split["key"]] = texts[0]
    for name, members in objects.items():
        found.setdefault(name, []).append(json.dumps(members))
    return found


def _value(kind: type[BaseModel], name: str, given: Sequence[str]) -> Any:
    """The text of a field as what it wants; still unchecked."""
    if "list" in str(kind.model_fields[name].annotation):
        return [item for text in given for item in _items(name, text)]
    text = _once(name, given)
    if name == "chunking_strategy" and text != "auto":
        found = _json(name, text) if text.startswith("{") else None
        if not isinstance(found, dict) or found.get("type") != "server_vad":
            raise bad_option("chunking_strategy must be auto, or an object of the type server_vad.", param=name)
        return check_fields(Vad, found)
    return BOOLEANS.get(text.casefold(), text) if name == "stream" else text


def _once(name: str, given: Sequence[str]) -> str:
    if len(given) > 1:
        raise bad_option(f"Give {name} once, not {len(given)} times.", param=name)
    return given[0].strip() if given else ""


def _items(name: str, text: str) -> list[Any]:
    """A JSON array, a list with commas where no item can have one, or one item."""
    if text.lstrip().startswith("["):
        return list(_json(name, text))
    if name in {"include", "timestamp_granularities"}:
        return [part.strip() for part in text.split(",") if part.strip()]
    return [text]


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_option(f"{name} is not valid JSON; see /docs for what it may be.", param=name) from error


def _check_stream(wishes: Wishes) -> None:
    if wishes.stream and wishes.response_format not in STREAMED:
        detail = f"With stream=true response_format must be one of {', '.join(STREAMED)}."
        raise bad_option(detail, param="response_format")


def _translate(jobs: dict[str, list[str]], translate: bool) -> None:
    if not translate:
        return
    if jobs.get("task", ["translate"]) not in ([], ["translate"]):
        raise bad_option("Everything is translated here; transcribe at /v1/audio/transcriptions.", param="task")
    jobs["task"] = ["translate"]


def _with(jobs: Mapping[str, list[str]], wishes: Wishes) -> dict[str, list[str]]:
    """The fields of a job with what follows from the wishes."""
    made = dict(jobs)
    if len(made.get("prompt", [])) == 1:
        made["prompt"] = [_end(made["prompt"][0].strip(), MAX_TEXT)]
    if wishes.keywords:
        made["hotwords"] = [_joined(made.get("hotwords", []), wishes.keywords)]
    if wishes.words and BOOLEANS.get("".join(made.get("word_timestamps", [])).strip().casefold()) is False:
        detail = "word_timestamps=false leaves nothing to make the words and logprobs of that were asked for."
        raise bad_option(detail, param="word_timestamps")
    if wishes.chunking_strategy is not None and not made.get("vad_filter"):
        made["vad_filter"] = ["true"]
    if not made.get("chunk_seconds"):
        if isinstance(wishes.chunking_strategy, Vad):
            made["chunk_seconds"] = [str(_VAD_CHUNK_SECONDS)]
        elif wishes.stream and not _said_yes(made):  # where speakers are told apart, all the text comes at the end
            made["chunk_seconds"] = [str(STREAM_CHUNK_SECONDS)]
    return made


def _said_yes(made: Mapping[str, Sequence[str]]) -> bool:
    """Whether speakers are to be told apart."""
    said = [text for name in ("diarise", "diarize") for text in made.get(name, [])]
    return any(BOOLEANS.get(text.strip().casefold()) is not False for text in said)


def _end(text: str, most: int) -> str:
    """The end of a text, from the beginning of a word: what was said last matters most."""
    end = text[-most:]
    if len(text) > most and not text[-most - 1].isspace():
        # Languages without spaces have none to begin at; what is left of a long text must not depend on a single one.
        found = re.search(r"\s", end[:_LONGEST_WORD])
        end = end[found.end() :] if found else end
    return end.strip()


def _joined(before: Sequence[str], words: Sequence[str]) -> str:
    """One text of all words that fit, whole, after what was there before."""
    kept, room = list(before), MAX_TEXT - len(", ".join(before))
    for word in dict.fromkeys(" ".join(word.split()) for word in words):
        needed = len(word) + (len(", ") if kept else 0)
        if word and needed <= room:
            kept.append(word)
            room -= needed
    return ", ".join(kept)


def schemas(kind: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """The fields as the API document describes them; lists may be written with brackets as well."""
    made = kind.model_json_schema()
    definitions = made.pop("$defs", {})
    found: dict[str, dict[str, Any]] = {
        "model": {
            "type": "string",
            "description": "A model of /v1/models; whisper-1 and all names that begin with gpt- are the default.",
        }
    }
    for name, schema in made["properties"].items():
        whole = json.loads(re.sub(r'\{"\$ref": "#/\$defs/(\w+)"\}', _Inline(definitions), json.dumps(schema)))
        found[name] = whole
        if whole.get("type") == "array":
            found[f"{name}[]"] = {**whole, "description": f"The same as {name}."}
    return found


class _Inline:
    """Puts a definition in the place that refers to it."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def __call__(self, found: re.Match[str]) -> str:
        return json.dumps(self._definitions[found[1]])
