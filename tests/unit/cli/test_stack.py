from pathlib import Path

import pytest

from cli.stack import environment, programs
from config.settings import Settings


@pytest.fixture(autouse=True)
def a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_settings_arrive_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / ".env").write_text(
        "WHISPER_MODELS=./models,large-v3\nWHISPER_ALIASES=best=large-v3,own=./models\nAPI_KEY=a %(b)s ;c key\n"
        "WHISPER_VAD_FILTER=false\nPLUGINS=models\nDATABASE_URL=sqlite:///own.db\nHF_TOKEN=of-the-hub\n"
    )
    before = Settings(bind_port=9000, retention_days=0.5)
    found = environment(before, {"PATH": "/bin", "bind_port": "7"})
    monkeypatch.chdir("/")
    for name in list(found):
        monkeypatch.setenv(name, found[name])
    after = Settings(_env_file=None)
    assert after.whisper_models == [str(tmp_path / "models"), "large-v3"]
    assert after.whisper_aliases == {"best": "large-v3", "own": str(tmp_path / "models")}
    assert after.plugins == [tmp_path / "models"]
    assert after.database_url == f"sqlite:///{tmp_path}/own.db"
    same = {"api_key", "whisper_vad_filter", "bind_port", "retention_days", "data_dir"} & before.model_fields_set
    assert {name: getattr(after, name) for name in same} == {name: getattr(before, name) for name in same}
    assert "bind_port" not in found  # whichever of two spellings came last would win
    assert found["HF_TOKEN"] == "of-the-hub"


def test_what_was_not_set_is_left_to_its_default() -> None:
    found = environment(Settings(), {"HOME": "/h", "HF_HOME": "mine"})
    assert found["HF_HOME"] == "mine"
    assert {found[name] for name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")} == {"1"}
    assert not {name.upper() for name in Settings.model_fields} & found.keys()


def test_work_is_handed_back_and_requests_are_ended() -> None:
    found = {p.name: p.stop_signal for p in programs(Settings(), cpu_workers=1, gpu_workers=1, gpus=[])}
    assert found == {"web": "TERM", "cpu": "QUIT", "net": "QUIT", "gpu1": "QUIT", "beat": "TERM", "flower": "TERM"}


def test_other_databases_are_left_as_they_are() -> None:
    url = "postgresql+psycopg://user:pass%40word@host/name"
    assert environment(Settings(database_url=url), {})["DATABASE_URL"] == url
