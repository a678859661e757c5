"""Samples of people's voices, as OpenAI's clients send them: data URLs in fields of a form."""

import base64
import binascii
import re
from collections.abc import Sequence

from pipelines.documents import KnownVoices
from pipelines.stages.diarise import KNOWN, sample_name
from webapp.errors import Problem, bad_option

MAX_SAMPLE = 2_600_000
"""Characters of one sample of a voice: 10 s of 48 kHz, 16 bit, stereo, without compression, as base64."""
MAX_NAME = 100
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[^;,]{0,100}){0,5}?;base64,", re.ASCII | re.IGNORECASE)
_SOUND = ("audio/", "video/", "application/octet-stream", "application/ogg")
_FIELD = "known_speaker_references"


def known_voices(names: Sequence[str], samples: Sequence[str]) -> dict[str, bytes]:
    """The files that say who is known, by name; none if nobody is.

    Args:
        names: Of the people.
        samples: A data URL for each.

    Raises:
        Problem: 400, they do not fit together, or are no data URLs of sound.
    """
    if len(names) != len(samples):
        detail = "known_speaker_names and known_speaker_references must have as many entries as each other."
        raise bad_option(detail, param=_FIELD)
    tidy = [_name(name) for name in names]
    if twice := [name for n, name in enumerate(tidy) if name in tidy[:n]]:
        raise bad_option(f"known_speaker_names has {twice[0]!r} twice; name each once.", param="known_speaker_names")
    if not names:
        return {}
    files = {sample_name(number): _decoded(sample) for number, sample in enumerate(samples)}
    return {KNOWN: KnownVoices(names=tidy).model_dump_json().encode(), **files}


def _name(name: str) -> str:
    tidy = " ".join(name.split())
    if not tidy or len(tidy) > MAX_NAME or not tidy.isprintable():
        detail = f"known_speaker_names must be 1 to {MAX_NAME} printable characters each."
        raise bad_option(detail, param="known_speaker_names")
    return tidy


def _decoded(sample: str) -> bytes:
    if len(sample) > MAX_SAMPLE:
        detail = f"A sample of a voice may have at most {MAX_SAMPLE} characters; send 10 seconds, or compress it."
        raise bad_option(detail, param=_FIELD)
    head = _DATA_URL.match(sample)
    if head is None or not (head["type"] or "").lower().startswith(_SOUND):
        raise _no_sample()
    try:
        data = base64.b64decode("".join(sample[head.end() :].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _no_sample() from error
    if not data:
        raise _no_sample()
    return data


def _no_sample() -> Problem:
    return bad_option("known_speaker_references must be data URLs such as data:audio/wav;base64,UklGR…", param=_FIELD)
