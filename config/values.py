"""What a setting that is more than a number has to look like."""

import base64
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

_RATE = r"[1-9][0-9]{0,8} *(/|per) *([1-9][0-9]{0,3} *)?(second|minute|hour|day)s?"
"""One limit, as the limiter of the API understands it; that one is not installed where workers run."""


def rates(value: str) -> str:
    """One or more request rates.

    Raises:
        ValueError: They are something else.
    """
    if not all(re.fullmatch(_RATE, part.strip().lower()) for part in re.split("[,;|]", value)):
        raise ValueError("write a number and a time, such as 600/minute, or several with commas between them")
    return value


def web_address(value: str | None) -> str | None:
    """The address of a web server, without a slash at its end.

    Raises:
        ValueError: It is something else, or has a password in it.
    """
    if value is None:
        return None
    parts = urlsplit(value)
    try:
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        port_fits = False
    whole = parts.scheme in {"http", "https"} and parts.hostname and port_fits
    if not whole or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("write http://host:port or https://host:port, without a password")
    return value.rstrip("/")


def signing_secret(value: SecretStr) -> SecretStr:
    """A key for signing webhooks, as Standard Webhooks writes it.

    Raises:
        ValueError: It is something else, too short or too long.
    """
    text = value.get_secret_value()
    encoded = text.removeprefix("whsec_").rstrip("=")  # the padding is often left out
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        key = b""
    if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("write whsec_ and base64 of 24 to 64 bytes, as `openssl rand -base64 32` makes it")
    return value


Rates = Annotated[str, AfterValidator(rates)]
SigningSecret = Annotated[SecretStr, AfterValidator(signing_secret)]
WebAddress = Annotated[str | None, AfterValidator(web_address)]
