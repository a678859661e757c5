"""What uploads that come in pieces have in common, wherever their bytes are kept."""

from collections.abc import Callable
from typing import Protocol


class Busy(Exception):
    """The writer before has not stopped yet."""


class Shorter(Exception):
    """Less is there than the record says: the machine, not just the program, went down.

    Args:
        size: Bytes that are there.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Vanished(Exception):
    """A file that the record names is not there: nobody can go on with the upload.

    Args:
        name: The file.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Arrival(Protocol):
    """An upload that is being written to."""

    parts: list[str]
    """Names of the part files that are saved; none where the file grows."""
    unsaved: int
    """Bytes written since the last ``save``."""

    @property
    def ripe(self) -> bool:
        """Whether saving now is worth it."""

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            store.file_errors.StorageFull: The disk is full.
        """

    def save(self) -> None:
        """Make what was written outlive this process."""

    def undo(self) -> None:
        """Forget what was written since the last ``save``."""

    def finish(self, beat: Callable[[], None]) -> str:
        """Make everything the one file ``source``; its SHA-256. ``beat`` is called again and again meanwhile.

        Raises:
            Vanished: A part is not there any more.
        """

    def tidy(self) -> None:
        """After the record knows that it is finished: remove what ``source`` was made of."""

    def close(self) -> None:
        """Stop writing, forgetting what is not saved."""
