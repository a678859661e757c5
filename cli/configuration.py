"""Says in words what is wrong with the settings."""

import difflib
from collections.abc import Mapping

from dotenv import dotenv_values

from config.secret_files import SECRETS, SUFFIX
from config.settings import Settings

_ALIKE = 0.78
"""A name that differs more is no slip of the pen, but another program's."""
_OURS = "WHISPER_"
"""Nobody else's names begin with this."""


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """A sentence for every name in ``.env`` or the environment that looks like a setting and is none.

    In the environment, where every program has its names, only those count that begin as ours do.
    """
    known = [name.upper() for name in (*Settings.model_fields, *(secret + SUFFIX for secret in SECRETS))]
    written = dict.fromkeys(dotenv_values(".env"), "in .env")
    told = dict.fromkeys(
        (name for name in environ if name.upper().startswith(_OURS) and name not in written), "in the environment"
    )
    sentences = []
    for name, where in (written | told).items():
        if name.upper() in known:
            continue
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=_ALIKE)
        if near:
            sentences.append(f"{name} {where} is not a setting; did you mean {near[0]}?")
        elif name.upper().startswith(_OURS):
            sentences.append(f"{name} {where} is not a setting: take it out, or see .env.example for those there are.")
    return sentences
