"""Options that several stages share, declared once.

A stage writes ``model: ModelName = None``, ``language: LanguageCode = None``, ``languages: LanguageCodes = None``,
``channels: Channels = "mix"``, ``task: Task = "transcribe"``, ``word_timestamps: WordTimestamps = True``, ``diarise:
Diarise = False``; the same type and the same default everywhere, or the stages do not fit together.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from pipelines.languages import LANGUAGES, normalise

DETECT = "auto"
"""Says "find out the language", as does an empty value, which is what an untouched form field sends."""


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _language(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return None if value.strip().casefold() in ("", DETECT) else normalise(value)


def _languages(value: Any) -> Any:
    """Flatten ``"en, de"`` and ``["en", "de,fr"]`` into codes, each once, in the order given; none: None."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(item, str) for item in value):
        return value  # which its type refuses
    codes: list[Any] = []
    for item in value:
        codes += [_language(name) for name in item.split(",") if name.strip()]
    return [code for code in dict.fromkeys(codes) if code is not None] or None


_Name = Annotated[str, Field(json_schema_extra={"enum": [DETECT, *dict.fromkeys([*LANGUAGES, *LANGUAGES.values()])]})]

ModelName = Annotated[
    Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None,
    BeforeValidator(_blank_is_none),
    Field(description="The model: a size, a hub id or an alias; the operator's first when not given."),
]

LanguageCode = Annotated[
    _Name | None,
    BeforeValidator(_language),
    Field(
        description="The language spoken: an ISO code or an English name; found out when not given.",
        json_schema_extra={"x-languages": dict(LANGUAGES)},
    ),
]

LanguageCodes = Annotated[
    list[_Name] | None,
    BeforeValidator(_languages),
    Field(description="The languages to choose from when the language is found out: codes, or one list with commas."),
]

Channels = Annotated[
    Literal["mix", "split"],
    Field(
        description="mix: all channels become one; split: each channel is transcribed by itself, as a speaker of its "
        "own (Channel 1, Channel 2 …). The length of the recording counts once, however many channels there are."
    ),
]

Task = Annotated[
    Literal["transcribe", "translate"],
    Field(description="transcribe: in the language spoken; translate: into English, by the model."),
]

WordTimestamps = Annotated[bool, Field(description="Give the time of every word.")]

Diarise = Annotated[bool, Field(description="Tell speakers apart, and say of every word whose it is.")]
