"""The fields of a request: put together from the stages' options, read from a form, explained where they are wrong."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, create_model

from config.models import DIARISING_MODEL
from config.settings import Settings
from pipelines.errors import OptionsError
from pipelines.formats.style import StyleOptions
from pipelines.stage import Options, Stage, options_model, plan
from pipelines.web import addresses
from webapp.diarising import Diarising
from webapp.errors import Problem, bad_option
from webapp.intake.uploads import REFERENCES
from webapp.intake.validation import message, validated
from webapp.intake.values import (
    ADDRESS,
    BOOLEANS,
    WORDS,
    is_list,
    joined,
    metadata,
    parts,
    types_of,
    whole_numbers,
    words,
)
from webapp.models import allowed_model

_Model = TypeVar("_Model", bound=BaseModel)
_OWN = ("priority", "metadata", "webhook_url")
"""Fields of the job itself, no stage's."""
_ELSEWHERE = {"speaker_labels": "diarise", "diarization": "diarise", "speakers_expected": "num_speakers"}
"""What other services call a field."""
_SPELLINGS = {"diarize": "diarise", "keywords": "hotwords"}


class JobFields(Options):
    """Fields every job has, whatever its stages."""

    model_config = ConfigDict(allow_inf_nan=False)

    priority: Annotated[
        Literal["high", "normal", "low"],
        BeforeValidator(lambda value: value.strip().casefold() if isinstance(value, str) else value),
    ] = Field("normal", description="Jobs of a higher priority are served first.")
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="A JSON object that is handed back untouched; at most 16 kB and 100 levels deep.",
    )
    webhook_url: str | None = Field(
        None,
        max_length=addresses.MAX_LENGTH,
        description="Address (http or https) that is told of the job's end by a signed POST; it must be public.",
        json_schema_extra={"pattern": ADDRESS},
    )


@dataclass(frozen=True)
class JobRequest:
    """What a request asks for, checked."""

    options: dict[str, Any]
    """Of all stages, the operator's defaults filled in."""
    priority: str
    metadata: dict[str, Any]
    stages: list[str]
    each: list[str]
    """Those of the stages that run once a chunk."""
    webhook_url: str | None = None
    """As it will be asked."""
    attached: dict[str, bytes] = field(default_factory=dict)
    """Further files of the job by name; emptied once they are kept, for the wait may be long."""
    attachments: str = ""
    """What tells these files from others."""

    def with_files(self, files: Mapping[str, bytes]) -> "JobRequest":
        """The same request, with files that belong to the recording."""
        digest = hashlib.sha256()
        for name, data in sorted(files.items()):
            digest.update(f"{name} {len(data)}\n".encode() + data)
        return replace(self, attached=dict(files), attachments=digest.hexdigest() if files else "")


class OptionReader:
    """Reads the fields of requests.

    Args:
        stages: All stages; their options are the fields.
        settings: Models that may be used, and the operator's defaults.
        diarising: Whether speakers can be told apart.
    """

    def __init__(self, stages: Mapping[str, Stage], settings: Settings, *, diarising: Diarising) -> None:
        self._stages = stages
        self._diarising = diarising
        self._settings = settings
        staged = options_model(stages)
        self.model: type[Options] = create_model("JobOptions", __base__=(JobFields, staged))

    def read(self, form: Mapping[str, Sequence[str]]) -> JobRequest:
        """The request of a form.

        Args:
            form: Field name -> its values in the order they came.

        Raises:
            Problem: 400 a field is unknown, out of range or not there yet; 404 the model.
            pipelines.errors.OptionsError: Fields contradict each other.
        """
        values: dict[str, Any] = {}
        for name, texts in form.items():
            if name in REFERENCES:
                continue
            field = self._field(name, values)
            given = [text for text in texts if text.strip()]
            if given:
                values[field] = self._value(field, given)
        return self._request(values, strict=False)

    def read_typed(self, body: Mapping[str, Any]) -> JobRequest:
        """The request of a JSON object, whose values must be of the fields' own types.

        Raises:
            Problem: As ``read``.
            pipelines.errors.OptionsError: As ``read``.
        """
        values: dict[str, Any] = {}
        for name, value in body.items():
            if name in REFERENCES:
                continue
            field = self._field(name, values)
            info = self.model.model_fields.get(field)
            if info is not None and is_list(info.annotation) and isinstance(value, str):
                raise bad_option(f"{field} must be an array.")
            if value is None and (info is None or type(None) in types_of(info.annotation)):
                continue
            if field in WORDS and isinstance(value, list):
                if text := joined(field, value):
                    values[field] = text
                continue
            values[field] = (
                metadata(json.dumps(value, ensure_ascii=False)) if field == "metadata" else whole_numbers(value)
            )
        return self._request(values, strict=True)

    def fetching(self, wanted: JobRequest, url: str) -> JobRequest:
        """The same request for a recording that is fetched from an address, which must be a good one."""
        options = {**wanted.options, "url": url}
        stages = self._plan(options)
        each = [s.name for s in stages if s.each]
        return replace(wanted, options=options, stages=[s.name for s in stages], each=each)

    def _field(self, name: str, before: Collection[str]) -> str:
        """What a client's name of a field means.

        Raises:
            Problem: 400, nothing, or a field that was given already.
        """
        field = _SPELLINGS.get(name, name)
        if field in before:
            raise bad_option(f"Give {field} once, not also as {name}.", param=field)
        self._check_name(name, field)
        return field

    def _request(self, values: Mapping[str, Any], *, strict: bool) -> JobRequest:
        by_name = values.get("model") == DIARISING_MODEL and values.get("channels") != "split"
        if by_name and "diarise" not in values and not self._diarising.missing():
            values = {**values, "diarise": True}
        checked = validated(self.model, {**self._defaults(values), **values}, strict=strict)
        options = checked.model_dump(mode="json", exclude=set(_OWN))
        if "model" in options:
            options["model"] = allowed_model(self._settings, options["model"])
        _check_languages(options)
        _check_speakers(options)
        options |= _resolved_style(options)
        stages = self._plan(options)
        if options.get("diarise") and (missing := self._diarising.missing()):
            raise bad_option(missing, param="diarise")
        own = checked.model_dump(include=set(_OWN))
        return JobRequest(
            options=options,
            priority=own["priority"],
            metadata=own["metadata"],
            stages=[s.name for s in stages],
            each=[s.name for s in stages if s.each],
            webhook_url=self._webhook(own["webhook_url"]),
        )

    def _webhook(self, url: str | None) -> str | None:
        """The address in the only spelling that nobody can read differently."""
        if url is None:
            return None
        try:
            return addresses.check(url, allow_private=self._settings.allow_private_urls).url
        except addresses.AddressRefused as error:
            raise bad_option(f"webhook_url: {error.detail}", param="webhook_url") from error

    def _plan(self, options: Mapping[str, Any]) -> list[Stage]:
        try:
            return plan(self._stages, options)
        except ValidationError as error:
            # Each field alone is in range, or it would not have come this far.
            raise Problem(422, f"{message(error.errors()[0])}.", code="invalid_option") from error

    def _check_name(self, name: str, field: str) -> None:
        known = self.model.model_fields
        if field in known:
            return
        if name == "file":
            raise bad_option(
                "The field 'file' came as text; send the recording itself, as curl -F file=@talk.mp3 does.",
                param=name,
            )
        shown = name[:60]
        near = [_ELSEWHERE[name]] if name in _ELSEWHERE else get_close_matches(name, [*known, "file"], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see /docs for the fields there are."
        raise bad_option(f"There is no field {shown!r}; {hint}", param=shown)

    def _value(self, field: str, given: list[str]) -> Any:
        """The text of a field as what its type wants; still unchecked."""
        info = self.model.model_fields.get(field)
        if info is not None and is_list(info.annotation):
            return [part for text in given for part in parts(field, text)]
        if field in WORDS:
            return words(field, given)
        if len(given) > 1:
            raise bad_option(f"Give {field} once, not {len(given)} times.", param=field)
        text = given[0].strip()
        if field == "metadata":
            return metadata(text)
        boolean = BOOLEANS.get(text.casefold())
        # Text stays as it came, with the spaces around it; whoever does not want them says so in its type.
        wants_boolean = info is not None and bool in types_of(info.annotation)
        return boolean if wants_boolean and boolean is not None else given[0]

    def _defaults(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The operator's choices for what the request leaves open."""
        s = self._settings
        chosen = {"vad_filter": s.whisper_vad_filter, "beam_size": s.whisper_beam_size, "language": s.whisper_language}
        if "languages" in values:  # the request wants it found out
            del chosen["language"]
        return {k: v for k, v in chosen.items() if v is not None and k in self.model.model_fields}


def check_fields(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """Values as a model; what is wrong is named.

    Raises:
        Problem: 400.
    """
    checked: _Model = validated(model, values)
    return checked


def check_query(model: type[Any], given: Mapping[str, Any], *, also: Collection[str] = ()) -> Any:
    """Query parameters as a model; unknown ones are named.

    Raises:
        Problem: 400.
    """
    known = [*model.model_fields, *also]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
            raise bad_option(f"There is no parameter {name[:60]!r}; {hint}")
    return validated(model, {k: v for k, v in given.items() if k not in also})


def _check_languages(options: Mapping[str, Any]) -> None:
    language, candidates = options.get("language"), options.get("languages")
    if language and candidates and language not in candidates:
        raise OptionsError(f"language is {language}, which is not among languages; send only one of the two fields.")


def _check_speakers(options: Mapping[str, Any]) -> None:
    """Each channel has its speaker already."""
    counts = [name for name in ("num_speakers", "min_speakers", "max_speakers") if options.get(name) is not None]
    if counts and options.get("channels") == "split":
        raise OptionsError(f"With channels=split every channel is a speaker; leave out {counts[0]}.")
    if options.get("diarise") and options.get("channels") == "split":
        raise OptionsError("diarise and channels=split both say who speaks; send only one of the two fields.")


def _resolved_style(options: Mapping[str, Any]) -> dict[str, Any]:
    """The subtitle fields with the figures of their preset, so that a job says what it was made with."""
    given = {name: options[name] for name in StyleOptions.model_fields if name in options}
    style = StyleOptions(**given).style()
    return {name: getattr(style, name) for name, value in given.items() if value is None}
