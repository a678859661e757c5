"""Lies in wait for stages: ``LONGHAND_TEST_AMBUSH`` names a folder, and each file in it sets one trap.

A trap is called ``<stage>.<moment>`` and its text says what happens to the first run that comes there:

- moments: ``asked`` (nothing is done yet), ``worked`` (all is done and nothing kept), ``kept`` (the files are kept and
  the record does not know);
- what happens: ``die`` (SIGKILL to the process), ``wait`` (until somebody kills it), ``full`` (at ``asked``: everything
  it writes goes to /dev/full).

Whoever is caught renames the trap to ``<stage>.<moment>.caught`` and writes its process and job into it.
"""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from pipelines.stage import Stage
from store import steps

_folder = Path(os.environ["LONGHAND_TEST_AMBUSH"])
_run, _done = Stage.run, steps.done


def _spring(stage: str, moment: str, job_id: str) -> str:
    trap = _folder / f"{stage}.{moment}"
    caught = _folder / f"{stage}.{moment}.caught"
    try:
        what = trap.read_text()
        trap.rename(caught)  # of two at once, one
    except FileNotFoundError:
        return ""
    aside = caught.with_suffix(".note")
    aside.write_text(f"{os.getpid()} {job_id}")
    aside.replace(caught)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wait":
        threading.Event().wait()
    return what


def _run_watched(self: Stage, files: Any, options: Any, progress: Any, **tools: Any) -> None:
    if _spring(self.name, "asked", files._job_id) == "full":
        for name in self.writes:
            if "*" not in name or files.item is not None:
                files.target(name).symlink_to("/dev/full")
    _run(self, files, options, progress, **tools)
    _spring(self.name, "worked", files._job_id)


def _done_watched(database: Any, piece: steps.Piece, claim: str) -> bool:
    _spring(piece.stage, "kept", piece.job_id)
    return _done(database, piece, claim)


Stage.run = _run_watched  # type: ignore[method-assign]
steps.done = _done_watched
