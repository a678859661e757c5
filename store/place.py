"""The place where files are kept: how it is reached, and how its absence is told from that of a file."""

import contextlib
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

import fsspec

from store import s3_answers
from store.file_errors import StorageAway, noticing

if TYPE_CHECKING:
    from store.s3 import S3

HERE = "health"
"""A folder beside those of the jobs. Where it is missing, the disk that should be there is not mounted."""
_PROOF_SECONDS = 60.0
"""For so long it is believed of S3 that what could be written once can be written."""
_SOUND_SECONDS = 5.0
"""For so long it is believed whether S3 refuses everything or one thing."""
_ANEW_SECONDS = 30.0
"""So often at most credentials are read anew."""


class Place:
    """Where folders of files are.

    Args:
        url: ``file:///folder`` or ``s3://bucket/prefix``, or whatever else fsspec knows.
        encryption: What S3 is told of it with each file, by S3's own names.
    """

    def __init__(self, url: str, *, encryption: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self.local = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self.whole = parts.scheme == "s3"
        """Whether a file is seen by nobody before it is closed, so that it need not be written aside."""
        self.root = str(self.local) if self.local else url.split("://", 1)[1].rstrip("/")
        self._encryption = dict(encryption or {})
        self._made: tuple[int, Any] = (0, None)
        self._anew = -math.inf
        self._proven = -math.inf
        self._judged: tuple[float, bool] = (-math.inf, False)
        if self.local:
            # Where this cannot be done every use says so.
            with contextlib.suppress(OSError):
                (self.local / HERE).mkdir(parents=True, exist_ok=True)

    @property
    def fs(self) -> Any:
        """The library's file system, of this process alone: its connections, and their thread, outlive no fork."""
        process, made = self._made
        if process != os.getpid():
            made = self._connected()
            self._made = (os.getpid(), made)
        return made

    @property
    def s3(self) -> "S3 | None":
        """The same, where it is S3."""
        return cast("S3", self.fs) if self.whole else None

    def _connected(self) -> Any:
        if self.whole:
            from store.s3 import connect  # takes half a second, of those only who need it

            return connect(self._encryption)
        return fsspec.filesystem(self._scheme, **({"auto_mkdir": True} if self.local else {}))

    def away(self) -> bool:
        """Whether the place itself cannot be reached, whatever is in it."""
        if self.local:
            return not (self.local / HERE).is_dir()
        try:
            if self.s3:
                self.s3.answers(self.root)
            else:
                self.fs.exists(self.root)
        except PermissionError:  # it answers; who may use its files may yet not look at the bucket
            return False
        except Exception:  # whatever a library has for it
            return True
        return False

    @contextlib.contextmanager
    def noticing(self) -> Iterator[None]:
        """Tell a full and an absent storage (``StorageFull``, ``StorageAway``) from other errors.

        Raises:
            StorageFull: No space is left.
            StorageAway: It is not there, or takes nothing from us.
            StorageRefused: It takes other files, but not this one.
        """
        with self._watching(), noticing(self.away, remote=self.local is None, sound=self._sound):
            yield

    def prove(self, *, parts: bool = False) -> None:
        """Raise unless all can be done with S3 that will be; nothing it refuses is taken for the matter of one file.

        Args:
            parts: Also try to send a file in parts.
        """
        if self.s3:
            with self._watching(), noticing(self.away, remote=True, sound=lambda: False):
                self.s3.try_out(self.address(HERE), parts=parts)

    def proven(self) -> bool:
        """Whether that was found not long ago; if so, it is at least seen whether the place answers.

        Raises:
            StorageAway: It does not.
        """
        if not self.s3 or time.monotonic() >= self._proven + _PROOF_SECONDS:
            return False
        if self.away():
            self._proven = -math.inf
            raise StorageAway("the place where files are kept cannot be reached")
        return True

    def address(self, job_id: str, name: str = "") -> str:
        """Where a job's file is, in the file system's own spelling.

        Raises:
            ValueError: Not a name of ours; no path from a client may come this far.
        """
        parts = [job_id, *(name.split("/") if name else [])]
        if any(p in {"", ".", ".."} or "\\" in p or "\0" in p for p in parts):
            raise ValueError(f"not a name of a job's file: {job_id!r} {name!r}")
        return "/".join([self.root, *parts])

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except StorageAway as error:
            self._proven = -math.inf
            if self.whole and s3_answers.nobody(error.__cause__):
                self._ask_who_we_are()
            raise

    def _ask_who_we_are(self) -> None:
        """Connect anew, next time: the library reads credentials once, and they may have been changed, or come late."""
        if time.monotonic() > self._anew + _ANEW_SECONDS:
            self._anew = time.monotonic()
            self._made = (0, None)

    def _sound(self) -> bool:
        """Whether files can be kept at all, as far as is known."""
        at, sound = self._judged
        if time.monotonic() > at + _SOUND_SECONDS:
            try:
                self.prove()
                sound = True
            except Exception:  # it does not matter why
                sound = False
            self._judged = (time.monotonic(), sound)
        return sound
