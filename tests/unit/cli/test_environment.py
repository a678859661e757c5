"""The environment on a machine that lacks pip: tools/environment.py and tools/pip_wheel.py."""

import base64
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.unit.cli.conftest import ScriptedServer

TOOLS = Path(__file__).resolve().parents[3] / "tools"
sys.path.insert(0, str(TOOLS))

import environment  # noqa: E402
import pip_wheel  # noqa: E402


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pip of this environment, as the wheel it came from."""
    pip = distribution("pip")
    path = tmp_path_factory.mktemp("wheel") / f"pip-{pip.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in pip.files or ():
            parts = file.parts
            made_later = "__pycache__" in parts or file.name in {"INSTALLER", "REQUESTED"}
            if parts[0].startswith("pip") and not made_later:
                archive.write(str(file.locate()), str(file))
    return path


@pytest.fixture(autouse=True)
def pip_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_COMPILE", "1")  # half of the time that pip takes to install itself


def page(*links: str) -> bytes:
    return f"<html><body>{''.join(links)}</body></html>".encode()


def link(wheel: Path, sha256: str | None = None, *, name: str | None = None, more: str = "") -> str:
    stated = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f'<a href="../../files/{name or wheel.name}#sha256={stated}" {more}>{name or wheel.name}</a>'


def test_an_environment_without_ensurepip_gets_pip_from_the_index(
    server: ScriptedServer, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says(200, page('<a href="pip-1.0.tar.gz#sha256=00">old</a>', link(wheel)))
    server.says(200, wheel.read_bytes())
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url.replace('//', '//user:pass%21@')}/root/simple")
    monkeypatch.setenv("HOME", "/nonexistent")
    environment.make(tmp_path / "new", ensurepip=False)
    python = environment.python_of(tmp_path / "new")
    said = subprocess.run([python, "-I", "-m", "pip", "--version"], capture_output=True, text=True, check=True).stdout
    assert said.split()[:2] == ["pip", distribution("pip").version]
    assert str(tmp_path / "new") in said
    assert [path for _, path, _, _ in server.asked] == ["/root/simple/pip/", f"/root/files/{wheel.name}"]
    authorisation = f"Basic {base64.b64encode(b'user:pass!').decode()}"
    assert [headers.get("authorization") for _, _, headers, _ in server.asked] == [authorisation, authorisation]


def test_a_wheel_that_is_not_the_stated_one_is_not_used(
    server: ScriptedServer, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    server.says(200, page(link(wheel, "0" * 64)))
    server.says(200, wheel.read_bytes())
    with pytest.raises(pip_wheel.PipNotFound, match="SHA-256"):
        pip_wheel.fetch_pip(tmp_path)
    server.answers[:] = []
    server.says(200, page(f'<a href="{wheel.name}">no hash</a>'))
    server.says(200, wheel.read_bytes())
    with pytest.raises(pip_wheel.PipNotFound, match="states no SHA-256"):
        pip_wheel.fetch_pip(tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_index_is_one_sentence_without_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:1/simple")
    with pytest.raises(pip_wheel.PipNotFound, match=r"127\.0\.0\.1.*python3-venv") as caught:
        pip_wheel.fetch_pip(tmp_path)
    assert "secret" not in str(caught.value)


def test_the_pinned_version_is_taken_else_the_newest_that_was_not_withdrawn(
    server: ScriptedServer, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"pip-{version}-py3-none-any.whl" for version in ("9.0", "23.1", "99.0", "24.0b1")]
    links = [link(wheel, name=name, more="data-yanked" if "99" in name else "") for name in names]
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{server.url}/simple")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "none").as_uri())
    for pinned, expected in (("9.0", "pip-9.0"), ("8.0", "pip-23.1"), (None, "pip-23.1")):
        server.answers[:] = []
        server.says(200, page(*links))
        server.says(200, wheel.read_bytes())
        assert pip_wheel.fetch_pip(tmp_path, pinned=pinned).name.startswith(f"{expected}-py3")


def test_a_folder_of_wheels_serves_where_there_is_no_index(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    assert pip_wheel.fetch_pip(tmp_path).read_bytes() == wheel.read_bytes()


def test_settings_of_pip_the_later_the_stronger(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://a/\ncert = /c\n[install]\nindex_url = https://b/\n")
    found = pip_wheel.pip_options({"PIP_CONFIG_FILE": str(file), "PIP_CERT": "/d", "HOME": str(tmp_path)})
    assert (found["index-url"], found["cert"]) == ("https://b/", "/d")
    assert pip_wheel.sources({}) == ["https://pypi.org/simple/pip/"]


@pytest.mark.parametrize("version", [(3, 10), (3, 13), (2, 7)])
def test_other_pythons_are_refused_with_a_way_out(version: tuple[int, int]) -> None:
    with pytest.raises(environment.Failed, match=r"PYTHON="):
        environment.check_python(version)


def test_nothing_is_installed_twice_and_whatever_changed_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []
    monkeypatch.setattr(environment, "install", lambda folder, what: installed.append(what))
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "local.txt").write_text("a")
    (tmp_path / "pyproject.toml").write_text("")
    folder = tmp_path / ".venv"
    for what in ("run", "run", "dev", "run", "dev"):
        environment.ready(folder, what)
    assert installed == ["run", "dev"]
    (tmp_path / "requirements" / "local.txt").write_text("b")
    environment.ready(folder, "dev")
    assert installed == ["run", "dev", "dev"]
    assert list(folder.glob("lib/python*/site-packages/pip/__init__.py")), "pip came with the environment"
    # An installation that was interrupted leaves no stamp, and a copy in another place is no environment.
    made: list[Path] = []
    monkeypatch.setattr(environment, "make", lambda folder, *, ensurepip: made.append(folder))
    environment.ready(folder, "dev")
    assert (installed, made) == (["run", "dev", "dev"], [])
    moved = folder.rename(tmp_path / "moved")
    environment.ready(moved, "run")
    assert (installed, made) == (["run", "dev", "dev", "run"], [moved])


def test_telling_speakers_apart_is_added_to_what_is_there_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []
    monkeypatch.setattr(environment, "install", lambda folder, what: installed.append(what))
    monkeypatch.setattr(environment, "make", lambda folder, *, ensurepip: None)
    monkeypatch.setattr(environment, "runs", lambda folder: True)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    folder = tmp_path / ".venv"
    folder.mkdir()

    def after(*wanted: str) -> list[str]:
        installed.clear()
        for what in wanted:
            environment.ready(folder, what)
        return list(installed)

    assert after("diarise", "run", "diarise") == ["diarise"], "it includes what running takes"
    assert after("dev", "diarise", "run", "dev") == ["dev"]
    (tmp_path / "requirements" / "local.txt").write_text("newer")
    assert after("run", "diarise", "dev") == ["run", "dev", "diarise"], "all that was there is brought up to date"
    # An environment that is made anew has nothing in it: what was added comes back, tools for tests do not.
    monkeypatch.setattr(environment, "runs", lambda folder: False)
    (tmp_path / "requirements" / "local.txt").write_text("newest")
    assert after("run") == ["run", "diarise"]


def test_a_machine_without_a_gpu_is_told_where_the_small_torch_is(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "CPU_TORCH", server.url)
    monkeypatch.setattr(environment, "has_gpu", lambda: False)
    server.says(200, page())
    assert environment.torch_options() == ["--extra-index-url", server.url]
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    server.answers[:] = []
    server.says(404, page())
    assert environment.torch_options() == [] and "cannot be reached" in capsys.readouterr().err
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(b"")
    asked = len(server.asked)
    assert environment.torch_options() == []
    monkeypatch.setattr(environment, "has_gpu", lambda: True)
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert environment.torch_options() == []
    assert len(server.asked) == asked, "nobody is asked when the answer is known"


def test_every_requirement_is_pinned_and_torch_is_none_of_them() -> None:
    folder = environment.ROOT / "requirements"
    pinned = [line.split("==")[0] for line in (folder / "constraints.txt").read_text().splitlines() if "==" in line]
    wanted = {
        re.split(r"[\s\[<>=!~;]", line.strip(), maxsplit=1)[0].lower()  # without extras, versions and conditions
        for path in folder.glob("*.txt")
        if path.name not in {"constraints.txt", "train.txt", "audit.txt"}  # the last two have pins of their own
        for line in path.read_text().splitlines()
        if line.strip() and line[0] not in "#-" and "==" not in line.partition(";")[0]
    }
    assert wanted - set(pinned) == set()
    assert "torch" not in pinned
