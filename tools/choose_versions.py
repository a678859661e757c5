"""Chooses the exact version of every package: requirements/*.txt but the training's -> requirements/constraints.txt.

Each Python is asked by its own interpreter, since pip evaluates environment markers for the Python it runs under. The
oldest chooses; the others keep its choice, so that one version serves all.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

REQUIREMENTS = ("dev.txt", "gpu.txt")
"""With what they include, everything but telling speakers apart and the training of the demo models."""
BESIDE = "diarise.txt"
"""Chosen afterwards, so that it changes nothing of the others' choice; it names the versions of torch itself."""
VERSIONS = ((3, 11), (3, 12))
HEAD = """\
# Exact versions of everything in requirements/*.txt (but the training's), for Python 3.11 and 3.12.
# Made by `make constraints`; do not edit.
"""
FORBIDDEN = {"torch", "torchaudio", "triton"}
"""What the main path must not pull in: gigabytes that it does not need."""
_OF_TORCH = re.compile(r"(torch(audio|codec)?|pyannote-audio|triton|(nvidia|cuda)-.*)")
"""What diarise.txt or torch itself names in exactly one version, which depends on the machine."""


def choose_versions(root: Path, *, pip: AbstractContextManager[Path], build: str) -> None:
    """Write the constraints anew with the newest versions that fit together.

    Raises:
        subprocess.CalledProcessError: pip found no versions that fit; it has said why.
    """
    folder = root / "requirements"
    wanted: list[object] = [arg for name in REQUIREMENTS for arg in ("-r", folder / name)]
    chosen: dict[str, dict[tuple[int, int], str]] = {}
    with pip as wheel, tempfile.TemporaryDirectory(prefix="longhand-versions-") as scratch:
        choose(wheel, [*wanted, build, "pip"], chosen, Path(scratch))
        if heavy := FORBIDDEN & chosen.keys():
            raise SystemExit(
                f"{', '.join(sorted(heavy))} would be installed: find out what asks for it and leave that out."
            )
        main = dict(chosen)
        choose(wheel, ["-r", folder / BESIDE], chosen, Path(scratch))
    chosen = {name: found for name, found in chosen.items() if name in main or not _OF_TORCH.fullmatch(name)}
    (folder / "constraints.txt").write_text(HEAD + "\n".join(lines(chosen)) + "\n", "utf-8")


def choose(wheel: Path, wanted: list[object], chosen: dict[str, dict[tuple[int, int], str]], scratch: Path) -> None:
    """Add the versions of what is wanted to those chosen so far, which stay as they are."""
    first, report = scratch / "first.txt", scratch / "report.json"
    for version in VERSIONS:
        kept = {name: found.get(version, found[min(found)]) for name, found in chosen.items()}
        first.write_text("".join(f"{name}=={number}\n" for name, number in kept.items()), "utf-8")
        resolve(wheel, version, wanted, first, report)
        for name, number in versions_in(report).items():
            chosen.setdefault(name, {})[version] = number.partition("+")[0]


def resolve(wheel: Path, version: tuple[int, int], wanted: list[object], constraints: Path, report: Path) -> None:
    """Ask pip which versions it would install for a Python; nothing is installed."""
    command = [interpreter(version), wheel / "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--report", report, "-c", constraints]
    subprocess.run([*map(str, command), *map(str, wanted)], check=True)  # noqa: S603  # pip, on our requirements


def interpreter(version: tuple[int, int]) -> str:
    """An interpreter of exactly this version that runs.

    Raises:
        SystemExit: There is none on the PATH.
    """
    name = f"python{version[0]}.{version[1]}"
    code = "import sys; print(*sys.version_info[:2])"
    for found in [sys.executable, *filter(None, [shutil.which(name)])]:
        said = subprocess.run([found, "-I", "-c", code], capture_output=True, text=True, check=False).stdout  # noqa: S603
        if said.split() == [str(part) for part in version]:
            return found
    raise SystemExit(
        f"Choosing versions takes every Python that is supported, and {name} is not on the PATH: install it."
    )


def versions_in(report: Path) -> dict[str, str]:
    """Package (as the index spells it) -> version, of a report of pip's."""
    found = json.loads(report.read_text("utf-8"))["install"]
    entries = [entry["metadata"] for entry in found]
    return {re.sub(r"[-_.]+", "-", entry["name"]).lower(): entry["version"] for entry in entries}


def lines(chosen: dict[str, dict[tuple[int, int], str]]) -> list[str]:
    """The lines of the constraints: one a package, or one a Python where they differ."""
    made = []
    for name, found in sorted(chosen.items()):
        if len(set(found.values())) == 1:
            made.append(f"{name}=={next(iter(found.values()))}")
            continue
        made += [f'{name}=={number} ; python_version == "{v[0]}.{v[1]}"' for v, number in sorted(found.items())]
    return made
