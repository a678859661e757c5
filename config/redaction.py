"""What is taken out of every line of a log: keys, passwords and signatures, whoever wrote them there.

Nobody here logs them on purpose. But libraries repeat what they cannot read (a header with a control character in it,
the address of a server that refuses them), and a client may put its key where it does not belong.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from config.settings import Settings

HIDDEN = "…"
_LEAST = 6
"""Letters of a secret that is looked for as it is; a shorter one would be found in every other word."""
_ENVIRONMENT = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")
"""Secrets that libraries of ours take from the environment without asking us."""
_QUOTE = r"(?:b(?=\\*[\"']))?\\*[\"']?"
"""What stands before a value that Python or JSON shows, perhaps within another such value."""
_PATTERNS = (
    # Keys and secrets that we make.
    (r"\blh-[\w-]{16,}", f"lh-{HIDDEN}"),
    (r"\bwhsec_[\w+/=-]{16,}", f"whsec_{HIDDEN}"),
    # Headers, in whatever way a line shows them.
    (
        rf"(?i)\b((?:proxy-)?authorization|x-api-key|api-key|(?:set-)?cookie)\b(\\*[\"']?\s*[:=,]\s*{_QUOTE})[^\"'\\\r\n]+",
        rf"\1\2{HIDDEN}",
    ),
    (r"(?i)\bbearer\s+[^\s\"'\\]+", f"Bearer {HIDDEN}"),
    # Addresses: the password in front of the host, and what stands for one behind it.
    (r"(://[^\s/?#\"'@:]*:)[^\s/?#\"']+@", rf"\1{HIDDEN}@"),
    (
        r"(?i)([?&][^=&?\s\"']{0,40}(?:key|token|secret|signature|\bsig|password|credential)[^=&?\s\"']{0,40}=)[^&\s\"']+",
        rf"\1{HIDDEN}",
    ),
    (rf"(?i)((?:cookie_secret|password|passwd)\\*[\"']?\s*[:=]\s*{_QUOTE})[^\s\"'\\,}}]+", rf"\1{HIDDEN}"),
)


def redaction(settings: Settings, environment: Mapping[str, str] = os.environ) -> Callable[[str], str]:
    """A function from a line to the line that may be logged.

    Args:
        settings: Whose secrets are looked for, in all spellings that a line may give them.
        environment: Where further ones may be.
    """
    spellings = sorted({way for secret in _secrets(settings, environment) for way in _ways(secret)}, key=len)
    own = re.compile("|".join(map(re.escape, reversed(spellings)))) if spellings else None
    patterns = [(re.compile(pattern), text) for pattern, text in _PATTERNS]

    def redact(line: str) -> str:
        if own is not None:
            line = own.sub(HIDDEN, line)
        for pattern, text in patterns:
            line = pattern.sub(text, line)
        return line

    return redact


def _secrets(settings: Settings, environment: Mapping[str, str]) -> set[str]:
    values = [getattr(settings, name) for name in type(settings).model_fields]
    found = {value.get_secret_value() for value in values if isinstance(value, SecretStr)}
    brokers = (settings.broker_url or "").split(";")
    addresses = (settings.database_url, settings.redis_url, settings.storage_url, *brokers)
    found |= {_password(address) for address in addresses if address}
    found |= {environment.get(name, "") for name in _ENVIRONMENT}
    return {secret for secret in found if len(secret) >= _LEAST}


def _password(address: str) -> str:
    try:
        return unquote(urlsplit(address).password or "")
    except ValueError:  # whoever opens it will say what is wrong with it
        return ""


def _ways(secret: str) -> set[str]:
    """How a line may spell it: as it is, in an address, in JSON, in Python."""
    plain = {secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1], ascii(secret)[1:-1]}
    return plain | {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
