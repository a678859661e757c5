"""What is said of a place for files that cannot be used; of S3 itself in tests/integration/test_s3.py."""

from pathlib import Path

import pytest

from cli.storage import NO_FOLDER, storage_trouble
from config.settings import Settings


@pytest.mark.parametrize(("folder", "sentence"), [("new/jobs", None), ("file/jobs", NO_FOLDER)])
def test_a_folder_can_be_written_or_not(tmp_path: Path, folder: str, sentence: str | None) -> None:
    (tmp_path / "file").write_text("no folder")
    settings = Settings(_env_file=None, storage_url=(tmp_path / folder).as_uri())  # type: ignore[call-arg]
    assert storage_trouble(settings) == sentence
    assert storage_trouble(Settings(_env_file=None)) is None  # type: ignore[call-arg]
