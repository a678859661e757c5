import pytest

from pipelines.engines import EngineSettings, loader
from pipelines.engines.faster_whisper import FasterWhisper

SETTINGS = EngineSettings(device="cpu", cpu_threads=1)


@pytest.fixture(scope="session")
def demo() -> FasterWhisper:
    """The demo model, loaded once."""
    model = loader("faster-whisper")("demo", SETTINGS)
    assert isinstance(model, FasterWhisper)
    return model
