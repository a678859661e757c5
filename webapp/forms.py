"""The bodies that make jobs, as the API document describes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from webapp.intake.multipart import MAX_PARTS
from webapp.intake.uploads import REFERENCES
from webapp.intake.values import ADDRESS, BOOLEANS, WORDS

BARE = ("audio/*", "video/*", "application/octet-stream")
"""Media types of a body that is the recording itself."""
COMPONENTS = "#/components/schemas/{model}"
_MULTIPART = "multipart/form-data"
_FLAT = {
    "type": "string",
    "pattern": r'^$|^\{("[A-Za-z0-9_]+":"[A-Za-z0-9_ .:-]*")?\}$',
    "maxLength": 2000,
    "description": "As text here: a JSON object that is handed back untouched; at most 16 kB and 100 levels deep.",
}
"""Metadata that are sure to be taken."""
_FILE = {"type": "string", "format": "binary"}
_SOUND = {**_FILE, "minLength": 1}
"""Alone an empty one would be 415; among others it fails only its own job."""
_ADDRESS = {"type": "string", "pattern": "^[!-~]+$", "examples": ["https://example.com/talk.mp3"]}
"""Any: one that must not be asked fails only its own job among others."""
_SURE = {"type": "string", "pattern": ADDRESS}
"""Alone it would be 400: then one that is sure to be asked."""
_SENT = {"type": "array", "minItems": 1}
_FETCHED = "The recording's address, http or https, public and without a login, from which a worker fetches it"
_UPLOAD = {"type": "string", "pattern": "^[!-~]+$"}
"""Any: what is no upload's id is no upload, which fails its own job only, or is 404."""
_UPLOADED = "The id of a finished resumable upload, which becomes the job's"


@dataclass(frozen=True)
class Form:
    """The form of one recording: fields of its own, then those of a job."""

    name: str
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> schema."""
    without: tuple[str, ...] = ()
    """Fields of a job that it has not."""


def _has(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Whatever has a field that is like this."""
    return {"required": [name], "properties": {name: dict(schema)}}


_FILES = (
    _has("file", {**_SENT, "items": _SOUND}),
    _has("file", {"type": "array", "minItems": 2}),
    {"required": ["file", "url"], "properties": {"file": _SENT}},
)
"""Files of which at least one is not empty, or that are several, or one beside an address."""


def one_recording(
    form: Form, job_form: type[BaseModel], schemas: dict[str, Any], *, without: Sequence[str] = ()
) -> dict[str, Any]:
    """A body with one recording; its schemas are added to ``schemas``."""
    made = _schema(job_form, schemas)
    absent = {*form.without, *form.fields, *REFERENCES, *without}
    others = {name: schema for name, schema in made["properties"].items() if name not in absent}
    fields = {"file": {**_SOUND, "description": "The recording."}, **form.fields, **others}
    about = {"title": form.name, "description": "A recording and how to transcribe it."}
    schemas[form.name] = {**made, "required": ["file"], "properties": as_text(fields), **about}
    return _body({"multipart/form-data": form.name})


def recordings(job_form: type[BaseModel], schemas: dict[str, Any], *, without: Sequence[str] = ()) -> dict[str, Any]:
    """A body with one recording or several, in any way they can be sent; its schemas are added to ``schemas``."""
    made = _schema(job_form, schemas)
    fields = {name: schema for name, schema in made["properties"].items() if name not in without}
    several = {"type": "array", "minItems": 1}
    repeated = f"The recording; repeat it for a batch of at most {MAX_PARTS}."
    files = {"type": "array", "items": _FILE, "description": repeated}
    addresses = {**several, "items": _ADDRESS, "description": f"{_FETCHED}; repeat it for a batch."}
    one_or_more = {"oneOf": [_ADDRESS, addresses], "description": f"{_FETCHED}, or an array of them for a batch."}
    uploads = {**several, "uniqueItems": True, "items": _UPLOAD, "description": f"{_UPLOADED}; repeat it for a batch."}
    upload_or_more = {"oneOf": [_UPLOAD, uploads], "description": f"{_UPLOADED}, or an array of them for a batch."}
    # Not as arrays: an empty one would be a field that is not there.
    one_address = {**_ADDRESS, "description": f"{_FETCHED}; repeat it for a batch."}
    one_upload = {**_UPLOAD, "description": uploads["description"]}
    named = [_has("url", _SURE), _has("upload", {})]
    form = {**as_text(fields), "url": one_address, "upload": one_upload}
    bodies = {
        "JobForm": {"anyOf": [*_FILES, *named], "properties": {"file": files, **form}},
        "JobPlainForm": {
            "anyOf": named,
            "properties": {**form, "metadata": _FLAT},
        },
        "JobObject": {
            "anyOf": [*named, _has("url", {**_SENT, "items": _SURE}), _has("url", {"type": "array", "minItems": 2})],
            "properties": {**_with_lists(fields), "url": one_or_more, "upload": upload_or_more},
        },
    }
    about = "Recordings and how to transcribe them."
    schemas.update({name: {**made, **body, "title": name, "description": about} for name, body in bodies.items()})
    media = ("multipart/form-data", "application/x-www-form-urlencoded", "application/json")
    body = _body(dict(zip(media, bodies, strict=True)))
    bare = {**_SOUND, "description": "The recording itself; its options are in the address."}
    body["content"] |= {media: {"schema": bare} for media in BARE}
    return body


def in_address(job_form: type[BaseModel], schemas: dict[str, Any], *, without: Sequence[str] = ()) -> dict[str, Any]:
    """The options of a bare recording, as parameters that stand beside the operations: other bodies have them inside.

    Returns:
        Name in the components -> parameter.
    """
    absent = {*REFERENCES, *without}
    fields = {name: schema for name, schema in _schema(job_form, schemas)["properties"].items() if name not in absent}
    fields = {
        "name": {"type": "string", "description": "What the recording is called; or Content-Disposition."},
        **fields,
    }
    return {
        f"option.{name}": {
            "name": name,
            "in": "query",
            "description": f"{schema.get('description', '')} With a bare recording as the body only.".strip(),
            "schema": {key: value for key, value in schema.items() if key not in ("title", "description")},
        }
        for name, schema in as_text(fields).items()
    }


def _with_lists(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of JSON, where a text that means a list of words may be one."""
    made = dict(fields)
    for name in made.keys() & WORDS:
        kinds = made[name]["anyOf"]
        text = next(kind for kind in kinds if kind.get("type") == "string")
        made[name] = {**made[name], "anyOf": [*kinds, {"type": "array", "items": text}]}
    return made


def _schema(job_form: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    made = job_form.model_json_schema(ref_template=COMPONENTS)
    schemas.update(made.pop("$defs", {}))
    return made


def _body(names: Mapping[str, str]) -> dict[str, Any]:
    content: dict[str, Any] = {
        media: {"schema": {"$ref": COMPONENTS.format(model=name)}} for media, name in names.items()
    }
    if _MULTIPART in content:
        content[_MULTIPART]["encoding"] = {"metadata": {"contentType": "application/json"}}
    return {"required": True, "content": content}


def as_text(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Fields as a form can send them: it has no null, and a field that is left out is not there."""
    made: dict[str, Any] = {}
    for name, schema in fields.items():
        kept = {key: value for key, value in schema.items() if key != "anyOf"}
        if "default" in kept and kept["default"] is None:
            del kept["default"]
        if kept.get("const") is False:  # in any of the spellings that a form has for it
            text = f"{kept['description']} It is not available yet."
            kept = {"type": "string", "enum": ["false", "0", "no", "off"], "default": "false", "description": text}
        if "pattern" in kept:  # an empty field counts as not given
            kept["pattern"] = f"^$|{kept['pattern']}"
        kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
        whole = {**kept, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})}
        if whole.get("type") == "boolean":
            del whole["type"]
            whole["anyOf"] = [{"type": "boolean"}, {"type": "string", "enum": ["", *BOOLEANS]}]
        made[name] = whole
    return made
