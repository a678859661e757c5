"""What several tests with installations of their own share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def fuse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the engine ``deadly`` reads: how often it still kills its process. Empty: never."""
    path = tmp_path_factory.mktemp("fuse") / "lives"
    path.write_text("")
    return path
