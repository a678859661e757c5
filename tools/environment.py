"""Makes the virtual environment that everything runs in, and keeps it as the requirement files say.

Standard library only: it is the first thing that runs on a fresh machine, which may lack pip, ensurepip, a home
folder and root. ``python tools/environment.py run|dev`` is quick when there is nothing to do.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pip_wheel import PipNotFound, fetch_pip, pip_options

ROOT = Path(__file__).resolve().parent.parent
SETS = {
    "run": ("local.txt",),
    "dev": ("dev.txt",),
    "diarise": ("local.txt", "diarise.txt"),
    "train": ("train.txt",),
    "train-diariser": ("train-diariser.txt",),
    "audit": ("audit.txt",),
}
"""What an environment is for, and the requirement files with its packages; dev and diarise include run."""
ADDED = "diarise"
"""The set that is put into an environment beside another, and stays in it."""
SUPPORTED = ((3, 11), (3, 12))
BUILD = "setuptools>=77"
"""What installing this project itself takes (pyproject's build-system)."""
CPU_TORCH = "https://download.pytorch.org/whl/cpu"
# Settings of pip that would send packages somewhere else than into the environment.
MISLEADING = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_PYTHON",
)


class Failed(Exception):
    """Cannot go on; the message is a sentence that says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environment ready; 0 if it is."""
    parser = argparse.ArgumentParser(description="Make the environment of Longhand ready.")
    parser.add_argument(
        "what", choices=[*SETS, "constraints"], help="which packages; constraints: choose versions anew"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv", help="where the environment is")
    parser.add_argument("--without-ensurepip", action="store_true", help="fetch pip from the package index in any case")
    options = parser.parse_args(arguments)
    try:
        check_python(sys.version_info[:2])
        if options.what == "constraints":
            from choose_versions import choose_versions

            choose_versions(ROOT, pip=fetched_pip(), build=BUILD)
        else:
            with locked(ROOT):
                ready(options.folder, options.what, ensurepip=not options.without_ensurepip)
    except (Failed, PipNotFound) as error:
        say(str(error))
        return 1
    except subprocess.CalledProcessError as error:
        say(f"Installing failed (exit code {error.returncode}); the reason stands above. Mend it and try again.")
        return 1
    return 0


def check_python(version: tuple[int, ...]) -> None:
    """Refuse a Python that the pinned packages have no wheels for.

    Raises:
        Failed: It is not one of ``SUPPORTED``.
    """
    if version[:2] not in SUPPORTED:
        found = ".".join(map(str, version[:2]))
        raise Failed(
            f"Longhand needs Python 3.11 or 3.12, not {found}: install one and say `make run PYTHON=python3.12`."
        )


def ready(folder: Path, what: str, *, ensurepip: bool = True) -> None:
    """Make the environment and install what is missing; nothing if the last run left it as it has to be.

    Raises:
        Failed: The environment cannot be made.
        PipNotFound: There is no pip and none can be fetched.
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    wanted = fingerprint(folder)
    stamp = folder / "longhand-installed.json"
    done = read_stamp(stamp)
    if done.get("fingerprint") == wanted and covers(done.get("sets", []), what) and runs(folder):
        return
    began = time.monotonic()
    say(f"Installing what Longhand needs into {folder.name} (once; a few minutes on a slow line)")
    before = [name for name in SETS if name in known_sets(done)]
    if not runs(folder) or done.get("folder", str(folder)) != str(folder):
        make(folder, ensurepip=ensurepip)
        before, done = [name for name in before if name == ADDED], {}
    stamp.unlink(missing_ok=True)
    kept = [name for name in before if name != what and not covers([what], name)]
    # What is there in the wanted versions need not be looked at again.
    for one in [what] if done.get("fingerprint") == wanted else [what, *kept]:
        install(folder, one)
    stamp.write_text(json.dumps({"fingerprint": wanted, "sets": [*kept, what], "folder": str(folder)}), "utf-8")
    say(f"Installed in {time.monotonic() - began:.0f} s")


def fingerprint(folder: Path) -> str:
    """Changes whenever the environment has to be brought up to date."""
    digest = hashlib.sha256(repr((sys.version_info[:2], str(folder), str(ROOT))).encode())
    for path in [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "pyproject.toml"]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def read_stamp(path: Path) -> dict[str, object]:
    """What the last complete run left behind; empty if there was none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def known_sets(stamp: dict[str, object]) -> list[str]:
    """The sets that the last complete run left in the environment."""
    sets = stamp.get("sets")
    return [name for name in sets if name in SETS] if isinstance(sets, list) else []


def covers(installed: object, what: str) -> bool:
    """Whether the sets that are installed have everything of this one."""
    if not isinstance(installed, list):
        return False
    return what in installed or (what == "run" and bool({"dev", "diarise"} & {*map(str, installed)}))


def python_of(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


def runs(folder: Path) -> bool:
    """Whether the environment's interpreter is there, is this Python's version, and is not that of a moved copy."""
    code = "import sys; print(sys.prefix, *sys.version_info[:2], sep='\\n')"
    try:
        said = subprocess.run(  # noqa: S603  # our own environment's interpreter
            [python_of(folder), "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return False
    return Path(said[0]).resolve() == folder.resolve() and tuple(map(int, said[1:])) == sys.version_info[:2]


def make(folder: Path, *, ensurepip: bool = True) -> None:
    """Make an empty environment with pip in it.

    Debian keeps ensurepip in a package of its own (python3-venv); without it pip comes from the package index.

    Raises:
        Failed: The folder cannot be written.
        PipNotFound: No pip can be fetched.
    """
    try:
        venv.EnvBuilder(with_pip=False, clear=True, symlinks=True).create(folder)
    except (OSError, ValueError) as error:
        raise Failed(
            f"The environment {folder.name} cannot be made ({error}): make room for it and try again."
        ) from error
    python = python_of(folder)
    if ensurepip and has_ensurepip():
        command = [python, "-I", "-m", "ensurepip", "--default-pip"]
        if subprocess.run(command, capture_output=True, env=environment(), check=False).returncode == 0:  # noqa: S603
            return
    with fetched_pip() as wheel:
        # A wheel is a zip file, and pip's has a program in it: it installs itself.
        command = [python, wheel / "pip", "install", "--quiet", "--no-index", "--no-deps", wheel]
        subprocess.run(command, env=environment(), check=True)  # noqa: S603  # pip, in our own environment


def has_ensurepip() -> bool:
    """Whether this Python brings a pip of its own."""
    from importlib.util import find_spec

    return find_spec("ensurepip") is not None


@contextmanager
def fetched_pip() -> Iterator[Path]:
    """The wheel of pip from the package index; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="longhand-pip-") as folder:
        yield fetch_pip(Path(folder), pinned=pinned("pip"))


def pinned(name: str) -> str | None:
    """The version of a package that the constraints name."""
    for line in (ROOT / "requirements" / "constraints.txt").read_text("utf-8").splitlines():
        if line.startswith(f"{name}=="):
            return line.split("==")[1].split(";")[0].strip()
    return None


def install(folder: Path, what: str) -> None:
    """Install the packages of a set, then this project itself.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    pip = [python_of(folder), "-I", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-input"]
    options = ["-c", ROOT / "requirements" / "constraints.txt"]
    if what == "diarise":
        options += torch_options()
    files = [option for name in SETS[what] for option in ("-r", ROOT / "requirements" / name)]
    run = [*pip, *options, *files, BUILD]
    subprocess.run(run, env=environment(), check=True, cwd=ROOT)  # noqa: S603
    # setuptools is already there, in its pinned version, so nothing is fetched for this.
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", ROOT], env=environment(), check=True, cwd=ROOT)  # noqa: S603


def torch_options() -> list[str]:
    """Where pip finds the small build of torch that a machine without an NVIDIA GPU needs."""
    pip = pip_options(os.environ)
    at_hand = any(next(Path(folder).glob("torch-*+cpu-*.whl"), None) for folder in pip.get("find-links", "").split())
    if has_gpu() or at_hand or "no-index" in pip:
        return []
    if reachable(CPU_TORCH):
        # A build that names its kind (2.13.0+cpu) counts as newer than one that does not.
        return ["--extra-index-url", CPU_TORCH]
    say("The index with builds of torch for CPUs cannot be reached: taking the one that pip finds (it may be large)")
    return []


def has_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU is at work on this machine."""
    signs = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1")
    return any(Path(sign).exists() for sign in signs)


def reachable(address: str, seconds: float = 5.0) -> bool:
    """Whether a server answers; known after ``seconds``, whatever hangs."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{address}/torch/", timeout=seconds):  # noqa: S310  # an address of ours
                answers.append(True)
        except (OSError, ValueError):
            answers.append(False)

    # Looking up a name has no time limit of its own; the thread may end when it likes.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers == [True]


def environment() -> dict[str, str]:
    """This process's environment without what would make pip install elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    return kept | {"PIP_USER": "0", "PIP_NO_WARN_SCRIPT_LOCATION": "1"}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One installation at a time; the second finds everything done."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  # a command-line tool


if __name__ == "__main__":
    sys.exit(main())
