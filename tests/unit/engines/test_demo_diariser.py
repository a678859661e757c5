import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import recordings

from models.training.diariser.conversations import conversation
from models.training.diariser.trials import nobody
from pipelines.engines.diarisers import DiariserSettings, SpeakerCount, installed
from pipelines.engines.pyannote_files import demo_diariser_folder

SAMPLE_RATE = recordings.SAMPLE_RATE


class Sound:
    def __init__(self, audio):
        self.audio = audio
        self.duration = len(audio) / SAMPLE_RATE

    def read(self, start=0.0, end=None):
        return self.audio[round(start * SAMPLE_RATE) : None if end is None else round(end * SAMPLE_RATE)]


@pytest.fixture(scope="module")
def hears():
    if not installed():
        pytest.skip("pyannote.audio is not installed (make diarise)")
    from pipelines.engines.pyannote import load

    loaded = load(DiariserSettings("demo", device="cpu", cpu_threads=1))
    return lambda audio: loaded.diarise(Sound(audio), SpeakerCount(), lambda *_: None).turns


def shares(said, turns):
    """Of the words of each voice, how many were given to each speaker."""
    told: dict[str, dict[str | None, int]] = {}
    for word, voice in zip(said.words, said.speakers, strict=True):
        middle = (word.start + word.end) / 2
        speaker = next((turn.speaker for turn in turns if turn.start <= middle < turn.end), None)
        told.setdefault(voice, {}).setdefault(speaker, 0)
        told[voice][speaker] += 1
    return told


def test_it_tells_two_voices_apart_that_it_never_heard(hears):
    said = conversation(60, 7)
    turns = hears(said.audio)
    assert {turn.speaker for turn in turns} == {"SPEAKER_00", "SPEAKER_01"}
    told = shares(said, turns)
    most = {voice: max(counts, key=counts.get) for voice, counts in told.items()}
    assert len(set(most.values())) == 2
    right = sum(counts[most[voice]] for voice, counts in told.items())
    assert right >= 0.9 * len(said.words)


def test_somebody_who_speaks_louder_and_softer_stays_one_person(hears):
    said = conversation(30, 2, voices=1)
    gain = 10 ** (-0.75 * (1 + np.sin(np.arange(len(said.audio)) / SAMPLE_RATE / 3)) / 1.5)
    turns = hears((said.audio * gain).astype(np.float32))
    assert {turn.speaker for turn in turns} == {"SPEAKER_00"}


def test_where_nobody_speaks_nobody_is_heard(hears):
    wrong = {}
    for name, sound in list(nobody())[1::2]:
        if name.startswith(("silence", "white noise", "coloured noise", "hum")) and hears(sound[: 10 * SAMPLE_RATE]):
            wrong[name] = True
    assert not wrong


def strings(file):
    with zipfile.ZipFile(file) as packed:
        pickled = packed.read(next(name for name in packed.namelist() if name.endswith("data.pkl")))
    return [argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)]


def test_its_files_are_small_and_say_nothing_of_the_machine_they_were_made_on():
    folder = demo_diariser_folder()
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 4_000_000
    checkpoints = sorted(folder.glob("*/pytorch_model.bin"))
    assert [file.parent.name for file in checkpoints] == ["embedding", "segmentation"]
    for file in checkpoints:
        said = strings(file)
        assert not [text for text in said if text.startswith(("/", "~")) or str(Path.home()) in text]
        assert not [text for text in said if "optimizer" in text or "callbacks" in text]
    assert "pipelines.engines.networks.demo_diariser" in strings(checkpoints[0])
