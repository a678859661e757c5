"""Origins of web pages, as browsers name them: scheme, host and port, nothing else."""

import re
from collections.abc import Iterable

ANY = "*"
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", re.IGNORECASE)
_USUAL_PORTS = {"http": "80", "https": "443"}


def origins(texts: Iterable[str]) -> list[str]:
    """Origins in the spelling that browsers send.

    Raises:
        ValueError: One of them is none.
    """
    return [ANY if text == ANY else _origin(text) for text in texts]


def _origin(text: str) -> str:
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError("write origins such as https://app.example.org, without a path, or * for any")
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    return f"{scheme}://{host}" + (f":{int(port)}" if port and port != _USUAL_PORTS.get(scheme) else "")
