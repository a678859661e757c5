"""Which files a diariser is made of, and where they come from; pyannote.audio itself is not needed for that."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.engines.diarisers import DEFAULT_MODEL, DiariserSettings
from pipelines.engines.pyannote_files import demo_diariser_folder, diariser_files, resolve_diariser
from pipelines.errors import UnknownModel
from tests.model_hub import model_hub

ROOT = Path(__file__).parents[3]
WEIGHTS = "pytorch_model.bin"
LEGACY = b"""
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params: {segmentation: good/segmentation, embedding: good/embedding, clustering: AgglomerativeClustering}
params: {clustering: {method: centroid, min_cluster_size: 12, threshold: 0.7}}
"""
WHOLE = {
    str(path.relative_to(demo_diariser_folder())): path.read_bytes()
    for path in demo_diariser_folder().rglob("*")
    if path.suffix in (".yaml", ".bin", ".npz")
}
HUB_MODELS = {
    "good/whole": WHOLE,
    "gated/whole": WHOLE,
    "old/pipeline": {"config.yaml": LEGACY},
    "good/segmentation": {WEIGHTS: b"s", "config.yaml": b"{}"},
    "good/embedding": {WEIGHTS: b"e"},
    "bad/model": {WEIGHTS: b"x"},
}


@pytest.fixture(scope="module")
def hub() -> Iterator[tuple[str, list[str]]]:
    with model_hub(HUB_MODELS, {"gated/whole": "Bearer hf_mine"}) as (address, asked):
        yield address, asked


def ask(model: str, endpoint: str, home: Path, token: str | None = None, **env: str) -> str:
    """The folders of a pipeline's parts, or the error, in a fresh process that has this hub."""
    code = f"""
from pipelines.engines.pyannote_files import *
try:
    files = diariser_files(DiariserSettings(model={model!r}, token={token!r}, hub_timeout=5))
    params = files.config["pipeline"]["params"]
    print(*(params[part]["checkpoint"] for part in ("segmentation", "embedding", "plda")), sep="\\n")
except LonghandError as error:
    print(type(error).__name__, error)
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HOME": str(home), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_demo_is_whole_and_here() -> None:
    files = diariser_files(DiariserSettings(model="demo"))
    assert files.found.kind == "demo"
    folders = {part: files.config["pipeline"]["params"][part] for part in ("segmentation", "embedding", "plda")}
    assert folders == {part: {"checkpoint": str(demo_diariser_folder() / part)} for part in folders}
    assert resolve_diariser(str(demo_diariser_folder())) == files.found, "by its path it is still the demo"


@pytest.mark.parametrize(
    "name", ["", "small", "a/b/c", "org/name:tag", "http://x/y", "-x/y", "/nowhere/at-all", "./gone"]
)
def test_what_stands_for_nothing_is_refused_without_a_path(name: str) -> None:
    with pytest.raises(UnknownModel, match="DIARISATION_MODEL") as caught:
        resolve_diariser(name)
    assert "/nowhere" not in caught.value.detail
    assert resolve_diariser(DEFAULT_MODEL).kind == "hub"


def test_a_folder_is_looked_at_before_anything_is_loaded(tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(UnknownModel, match=match) as caught:
            diariser_files(DiariserSettings(model=str(tmp_path / "mine")))
        assert str(tmp_path) not in caught.value.detail

    (tmp_path / "mine").mkdir()
    refused(r"'mine' has no config\.yaml")
    for wrong in ("{", "[]", "pipeline: {}", "pipeline: {name: 3}"):
        (tmp_path / "mine" / "config.yaml").write_text(wrong)
        refused("not that of a pyannote.audio pipeline")
    shutil.copytree(demo_diariser_folder(), tmp_path / "mine", dirs_exist_ok=True)
    assert diariser_files(DiariserSettings(model=str(tmp_path / "mine"))).found.name == "mine"
    (tmp_path / "mine" / "plda" / "plda.npz").unlink()
    refused(r"lacks plda\.npz")
    (tmp_path / "mine" / "config.yaml").write_bytes(LEGACY)
    refused("takes files of good/segmentation from the model hub")


def test_a_folder_may_name_files_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (tmp_path / "weights.ckpt").write_bytes(b"s")
    (folder / "voices").mkdir()
    (folder / "voices" / WEIGHTS).write_bytes(b"e")
    text = LEGACY.decode().replace("good/segmentation", str(tmp_path / "weights.ckpt"))
    (folder / "config.yaml").write_text(text.replace("good/embedding", "voices") + "device: cuda\n")
    files = diariser_files(DiariserSettings(model=str(folder)))
    params = files.config["pipeline"]["params"]
    assert params["segmentation"] == {"checkpoint": str(tmp_path / "weights.ckpt")}
    assert params["embedding"] == {"checkpoint": str(folder / "voices")}
    assert params["plda"] == {"checkpoint": str(demo_diariser_folder() / "plda")}, "opened, though nobody uses it"
    assert "device" not in files.config


def test_what_the_hub_has_is_fetched_once(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    endpoint, asked = hub
    found = ask("good/whole", endpoint, tmp_path)
    assert [Path(line).name for line in found.splitlines()] == ["segmentation", "embedding", "plda"]
    asked.clear()
    assert ask("good/whole", endpoint, tmp_path) == found
    assert asked == [], "what is here is not asked for again"
    assert ask("good/whole", "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1") == found


def test_a_download_that_broke_off_goes_on(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    found = ask("good/whole", hub[0], tmp_path)
    weights = Path(found.splitlines()[1]) / WEIGHTS
    weights.resolve().unlink()
    weights.unlink()
    assert ask("good/whole", "http://127.0.0.1:9", tmp_path).startswith("ModelUnavailable")
    assert ask("good/whole", hub[0], tmp_path) == found and weights.is_file()


def test_a_pipeline_of_several_repositories_is_fetched_whole(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    found = ask("old/pipeline", hub[0], tmp_path).splitlines()
    assert [Path(line).joinpath(WEIGHTS).read_bytes() for line in found[:2]] == [b"s", b"e"]
    assert found[2] == str(demo_diariser_folder() / "plda")


@pytest.mark.parametrize(
    ("model", "token", "says"),
    [
        ("gated/whole", None, "ModelUnavailable The model gated/whole is given out on request only: accept its terms"),
        ("gated/whole", "hf_other", "ModelUnavailable The model gated/whole is given out on request only"),
        ("nobody/nothing", None, "UnknownModel The model hub has no model nobody/nothing"),
        ("bad/model", None, "UnknownModel The model bad/model is no pyannote.audio model"),
    ],
)
def test_what_the_hub_does_not_give_is_said(
    hub: tuple[str, list[str]], tmp_path: Path, model: str, token: str | None, says: str
) -> None:
    assert ask(model, hub[0], tmp_path, token).startswith(says)


def test_the_operators_token_opens_the_gate(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    assert "ModelUnavailable" not in ask("gated/whole", hub[0], tmp_path, "hf_mine")


def test_without_a_hub_it_is_said_what_to_do(tmp_path: Path) -> None:
    said = ask(DEFAULT_MODEL, "http://127.0.0.1:9", tmp_path)
    assert said.startswith("ModelUnavailable") and "DIARISATION_MODEL" in said and str(tmp_path) not in said
