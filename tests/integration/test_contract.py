"""The API document against calls that wait for their text, which only end where workers are."""

from pathlib import Path

import pytest

from tests.stack import KEY, Stack
from tests.unit.webapp.test_contract import check


@pytest.mark.slow
def test_the_document_is_true_of_calls_that_wait(stack: Stack, tmp_path: Path) -> None:
    options = ["--phases", "fuzzing", "--max-examples", "2", "--include-path-regex", "^/(transcribe|v1/audio)"]
    url = f"http://127.0.0.1:{stack.port}"
    check(url, tmp_path, ["-H", f"Authorization: Bearer {KEY}", *options])
