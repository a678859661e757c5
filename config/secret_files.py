"""Secrets from files: ``API_KEY_FILE=/run/secrets/api_key`` in place of ``API_KEY``, as containers are given them."""

import re
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

SECRETS = (
    "api_key", "webhook_secret", "flower_password", "hf_token", "database_url", "redis_url", "broker_url",
)  # fmt: skip
"""The settings that are secrets, or may hold one."""
SUFFIX = "_file"
_LONGEST = 64 * 1024
"""In bytes; a file that has more is not the one that was meant."""
_PLACEHOLDER = re.compile(r"change.?me", re.IGNORECASE)


class SecretFiles(PydanticBaseSettingsSource):
    """A source of settings: the files that ``<NAME>_FILE`` names, in the environment or in ``.env``.

    Args:
        settings_cls: Whose settings they are.
        sources: Where both the name and the name of its file are looked for; the first that has either is taken.
    """

    def __init__(self, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._written = [source.env_vars for source in sources if isinstance(source, EnvSettingsSource)]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not asked for: every value is read at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """What the files hold; an empty one holds nothing.

        Raises:
            ValidationError: A file cannot be used, or the setting itself is there as well.
        """
        found = {name: value for name in SECRETS if (value := self._content(name))}
        return {name: value for name, value in found.items() if value}

    def _content(self, name: str) -> str | None:
        for written in self._written:
            value, file = written.get(name), written.get(name + SUFFIX)
            if value and file:
                raise self._unusable(name, f"{name.upper()} is set as well, and only one can count: unset one of them")
            if value:
                return None
            if file:
                return self._read(name, Path(file).expanduser())
        return None

    def _read(self, name: str, path: Path) -> str:
        try:
            with path.open("rb") as file:
                text = file.read(_LONGEST + 1).decode("utf-8").rstrip("\r\n")
        except OSError as error:
            reason = f"the file it names cannot be read ({error.strerror}): make it, or mend its rights"
            raise self._unusable(name, reason) from None
        except UnicodeDecodeError:
            raise self._unusable(name, "the file it names is no text: write the secret alone into it") from None
        if len(text) > _LONGEST or any(mark in text for mark in "\n\r\0"):
            raise self._unusable(name, "the file it names has more than one line: write the secret alone into it")
        return text

    def _unusable(self, name: str, reason: str) -> ValidationError:
        told = PydanticCustomError("secret_file", "{reason}", {"reason": reason})
        where = InitErrorDetails(type=told, loc=(name + SUFFIX,), input=None)
        return ValidationError.from_exception_data(self.settings_cls.__name__, [where], hide_input=True)


def placeholder(values: dict[str, Any]) -> str | None:
    """The name of a secret that still is ``change-me`` or has it in it, as it stands in the environment; else None."""
    for name in SECRETS:
        value = values.get(name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value or "")
        if _PLACEHOLDER.search(text):
            return name.upper()
    return None
