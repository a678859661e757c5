from collections.abc import Callable
from pathlib import Path

import media_samples
import numpy as np
import pytest
from listening import quiet

from pipelines.documents import SAMPLE_RATE, Media
from pipelines.media import normalise
from pipelines.stage import Limits

LIMITS = Limits()
Convert = Callable[..., tuple[Media, np.ndarray]]


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Normalise a file under the server's own name for it; the document and the samples in [-1, 1]."""

    def convert(path: Path, *, limits: Limits = LIMITS, progress=quiet) -> tuple[Media, np.ndarray]:
        source = media_samples.under_our_name(path, tmp_path / "job")
        target = tmp_path / "job" / "audio.wav"
        try:
            media = normalise(source, target, limits=limits, progress=progress)
        except BaseException:
            assert not target.exists()
            raise
        data = target.read_bytes()
        assert data[36:40] == b"data"
        assert int.from_bytes(data[40:44], "little") == len(data) - 44
        samples = np.frombuffer(data[44:], "<i2") / 32768
        assert media.duration == len(samples) / SAMPLE_RATE
        return media, samples

    return convert
