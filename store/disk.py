"""What is particular to files on a disk."""

import errno
import glob
import secrets
import shutil
from pathlib import Path


def move(path: Path, target: Path) -> None:
    """Move a file to its place: whole or not at all, also from another disk."""
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(path, target)


def _copy(path: Path, target: Path) -> None:
    """From another disk, which takes time and room: nothing half copied may stay."""
    for left in target.parent.glob(f"{glob.escape(target.name)}.*.part"):
        left.unlink(missing_ok=True)  # by a run that was killed
    aside = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        shutil.move(path, aside)
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
