"""What is said of a place for files that cannot be used; of S3 itself in tests/integration/test_s3.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.storage import NO_FOLDER, ownership_trouble, storage_trouble
from config.settings import Settings
from store import open_store, ownership
from tests.stack import ROOT


@pytest.mark.parametrize(("folder", "sentence"), [("new/jobs", None), ("file/jobs", NO_FOLDER)])
def test_a_folder_can_be_written_or_not(tmp_path: Path, folder: str, sentence: str | None) -> None:
    (tmp_path / "file").write_text("no folder")
    settings = Settings(_env_file=None, storage_url=(tmp_path / folder).as_uri())  # type: ignore[call-arg]
    assert storage_trouble(settings) == sentence
    assert storage_trouble(Settings(_env_file=None)) is None  # type: ignore[call-arg]


def test_files_of_another_installation_are_told(tmp_path: Path) -> None:
    mine, other = (
        Settings(_env_file=None, data_dir=tmp_path / name, storage_url=(tmp_path / "jobs").as_uri())  # type: ignore[call-arg]
        for name in ("mine", "other")
    )
    assert ownership_trouble(mine) is None and not list(tmp_path.iterdir()), "nothing is made by looking"
    stores = [open_store(one) for one in (mine, other)]
    for store in stores:
        store.database.upgrade()
    assert ownership_trouble(mine) is None
    assert ownership.claim(stores[0].database, stores[0].files, seconds=60, known=set)
    assert ownership_trouble(mine) is None
    assert "belong to another installation" in (ownership_trouble(other) or "")
    for store in stores:
        store.database.engine.dispose()


@pytest.mark.parametrize(
    ("folder", "status", "said"), [("data", 0, "Files can be kept in file:///"), ("file/data", 1, NO_FOLDER)]
)
def test_it_is_a_command_where_there_is_no_doctor(tmp_path: Path, folder: str, status: int, said: str) -> None:
    (tmp_path / "file").write_text("no folder")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "DATA_DIR": str(tmp_path / folder),
    }
    done = subprocess.run(
        [sys.executable, "-m", "cli.storage"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (status, "") and done.stdout.startswith(said)
