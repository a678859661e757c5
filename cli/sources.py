"""Recordings as the command line names them: files of this machine, or addresses that the server fetches from."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import click

from pipelines.names import name_in_address

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_LONGEST_STEM = 100
"""Names from elsewhere may be longer than a file system takes."""


@dataclass(frozen=True)
class Address:
    """A recording that the server fetches."""

    url: str

    @property
    def name(self) -> str:
        """What to call it."""
        return name_in_address(self.url)

    @property
    def stem(self) -> str:
        """Its name without the extension."""
        return PurePosixPath(self.name).stem[:_LONGEST_STEM]

    def __str__(self) -> str:
        """The address without what follows its path, which may be a password of sorts."""
        return re.split(r"[?#]", self.url, maxsplit=1)[0]


Source = Path | Address


class SourceType(click.ParamType[Source]):
    """A file that is there, or an address."""

    name = "recording"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Source:
        """What a word of the command line names."""
        if isinstance(value, str) and _ADDRESS.match(value):
            return Address(value)
        file = click.Path(exists=True, dir_okay=False, path_type=Path).convert(value, param, ctx)
        return Path(file) if not isinstance(file, Path) else file


def in_full(source: Source) -> str:
    """As it was given, for programs."""
    return source.url if isinstance(source, Address) else str(source)
