import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import faster_whisper.utils
import pytest

from pipelines.engines import resolve as models
from pipelines.engines.resolve import demo_folder, resolve
from pipelines.errors import UnknownModel
from tests.model_hub import COMMIT, model_hub

ROOT = Path(__file__).parents[3]
HUB_MODELS = {
    "good/whisper": {
        path.name: path.read_bytes() for path in demo_folder().iterdir() if path.suffix in (".bin", ".json")
    },
    "bad/pytorch": {"config.json": b"{}", "pytorch_model.bin": b"weights"},
}


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """Address of a model hub, and what it was asked."""
    with model_hub(HUB_MODELS) as (address, asked):
        yield address, asked


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of a host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def ask(code: str, endpoint: str, home: Path, **env: str) -> str:
    """What a fresh process prints that has this hub: the client library reads its settings when it is imported."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"from pipelines.engines.resolve import *\n{code}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HOME": str(home), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_sizes_are_those_of_the_library():
    assert models.SIZES == faster_whisper.utils._MODELS


@pytest.mark.parametrize(
    ("name", "kind", "location"),
    [
        ("small", "hub", "Systran/faster-whisper-small"),
        ("large-v3-turbo", "hub", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
        ("some-org/my.model_2", "hub", "some-org/my.model_2"),
        ("models/demo", "hub", "models/demo"),
        ("demo", "demo", str(demo_folder())),
        (str(demo_folder()), "demo", str(demo_folder())),
    ],
)
def test_a_name_stands_for_one_thing(name, kind, location, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = resolve(name)
    assert (found.kind, found.location) == (kind, location)


@pytest.mark.parametrize("name", ["", "huge", "a/b/c", "../../etc", "org/name:tag", "http://x/y", "-x/y", "demo/"])
def test_a_name_that_stands_for_nothing_is_refused(name):
    with pytest.raises(UnknownModel):
        resolve(name)


def test_a_folder_is_known_by_its_own_name(tmp_path, monkeypatch):
    folder = shutil.copytree(demo_folder(), tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert resolve(str(folder)) == resolve("./mine")
    assert (resolve("./mine").kind, resolve("./mine").name) == ("folder", "mine")


def test_what_a_folder_lacks_is_said_without_its_path(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(UnknownModel, match=r"'empty' has no model\.bin and no tokenizer\.json") as caught:
        resolve(str(tmp_path / "empty"))
    assert str(tmp_path) not in caught.value.detail
    with pytest.raises(UnknownModel, match="no model folder 'gone'"):
        resolve(str(tmp_path / "gone"))


def test_bundled_models_need_no_network(tmp_path):
    code = "print(cached('demo'), pull('demo') == demo_folder(), hub_reachable())"
    assert ask(code, "http://127.0.0.1:9", tmp_path) == "True True False"


def test_a_model_is_fetched_once_and_with_progress(hub, tmp_path):
    endpoint, asked = hub
    code = """
done = []
print(cached("good/whisper"), hub_reachable())
folder = pull("good/whisper", lambda *bytes: done.append(bytes))
print(sorted(path.name for path in folder.iterdir()), cached("good/whisper"))
assert done == sorted(done) and done[-1][0] == done[-1][1], done
print(done[-1][0])
"""
    wanted = ["config.json", "model.bin", "preprocessor_config.json", "tokenizer.json", "vocabulary.json"]
    size = sum(len(data) for name, data in HUB_MODELS["good/whisper"].items() if name in wanted)
    assert ask(code, endpoint, tmp_path).splitlines() == ["False True", f"{wanted} True", str(size)]
    asked.clear()
    ask("pull('good/whisper')", endpoint, tmp_path)
    assert asked == [], "what is here is not asked for again"
    assert ask("print(pull('good/whisper').name)", "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1") == COMMIT


def test_the_cache_may_be_elsewhere(hub, tmp_path):
    code = f"from pathlib import Path\ncache = Path({str(tmp_path / 'cache')!r})\n"
    code += "pull('good/whisper', cache=cache)\nprint(cached('good/whisper', cache), cached('good/whisper'))"
    assert ask(code, hub[0], tmp_path) == "True False"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody/nothing", "UnknownModel The model hub has no model nobody/nothing"),
        ("bad/pytorch", "UnknownModel The model bad/pytorch is not in CTranslate2 format"),
    ],
)
def test_what_the_hub_does_not_have_is_said(hub, tmp_path, name, says):
    code = f"try: pull({name!r})\nexcept Exception as e: print(type(e).__name__, e)"
    assert ask(code, hub[0], tmp_path).startswith(says)


@pytest.mark.parametrize("how", ["refused", "silent", "offline", "proxy"])
def test_without_a_hub_that_is_known_in_time(how, hub, silent, tmp_path):
    endpoint, env = {
        "refused": ("http://127.0.0.1:9", {}),
        "silent": (silent, {}),
        "offline": (hub[0], {"HF_HUB_OFFLINE": "1"}),
        "proxy": ("http://hub.invalid", {"HTTP_PROXY": "http://127.0.0.1:9"}),
    }[how]
    code = """
import time
start = time.monotonic()
try: pull("small", timeout=1.0)
except ModelUnavailable as e: print(e)
assert time.monotonic() - start < 8, "it hung"
"""
    assert "WHISPER_MODELS=demo" in ask(code, endpoint, tmp_path, **env)


def test_a_name_lookup_that_hangs_does_not_hang_us(monkeypatch):
    released = threading.Event()

    def hang(*args: object, **kwargs: object) -> None:
        released.wait(20)
        raise OSError("no such host")

    # The resolver is the machine's, not ours: this one stands for a name server that does not answer.
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    assert not models.hub_reachable(0.5)
    assert time.monotonic() - start < 10
    released.set()
    for thread in threading.enumerate():
        if thread.name == "hub-reachable":
            thread.join(5)
