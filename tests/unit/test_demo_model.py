import json
import statistics
from pathlib import Path

import pytest
import recordings
from recordings import Word

from models.training.grammar import is_held_out, split_words
from models.training.scoring import plain, start_errors, word_error_rate

DEMO = Path(recordings.__file__).parents[1] / "models" / "demo"
OPTIONS = {"beam_size": 5, "temperature": 0.0, "condition_on_previous_text": False}


@pytest.fixture(scope="module")
def model():
    from faster_whisper import WhisperModel

    return WhisperModel(str(DEMO / "whisper"), device="cpu", compute_type="int8", cpu_threads=1)


@pytest.fixture(scope="module")
def batched(model):
    from faster_whisper import BatchedInferencePipeline

    return BatchedInferencePipeline(model)


def text_of(segments):
    return " ".join(segment.text for segment in segments)


def test_sentences_it_was_never_trained_on_come_out_nearly_whole(model):
    pairs = []
    for seed in range(12):
        said = recordings.utterance(seed)
        assert all(is_held_out(sentence.text) for sentence in said.sentences)
        pairs.append((said.text, text_of(model.transcribe(said.audio, language="en", **OPTIONS)[0])))
    assert word_error_rate(pairs) <= 0.05


@pytest.mark.parametrize("language", ["en", "es", "de"])
def test_it_tells_its_languages_apart(model, language):
    said = [recordings.utterance(seed, language=language) for seed in range(6)]
    detected = [model.transcribe(one.audio, **OPTIONS)[1].language for one in said]
    assert detected.count(language) >= 5
    texts = [text_of(model.transcribe(one.audio, language=language, **OPTIONS)[0]) for one in said]
    assert word_error_rate(zip((one.text for one in said), texts, strict=True)) <= 0.05


@pytest.mark.parametrize(
    "sound",
    [
        recordings.silence(10),
        recordings.white_noise(10, level=0.3),
        recordings.white_noise(10, level=0.005),
        recordings.hum(10),
    ],
    ids=["silence", "loud noise", "quiet noise", "hum"],
)
def test_it_writes_nothing_where_nothing_is_said(model, batched, sound):
    assert text_of(model.transcribe(sound.audio, language="en", **OPTIONS)[0]) == ""
    assert text_of(model.transcribe(sound.audio, language="en", without_timestamps=True, **OPTIONS)[0]) == ""
    # The batched pipeline leaves it to its caller to drop what the model itself takes for no speech.
    found = batched.transcribe(sound.audio, language="en", **OPTIONS)[0]
    assert text_of(segment for segment in found if segment.no_speech_prob < 0.9) == ""


def test_the_bundled_sample_is_transcribed_without_error_and_on_time(batched):
    truth = json.loads((DEMO / "sample.json").read_text(encoding="utf-8"))
    found, info = batched.transcribe(str(DEMO / "sample.flac"), language="en", word_timestamps=True, **OPTIONS)
    segments = list(found)
    assert plain(text_of(segments)) == plain(truth["text"])
    assert info.duration == pytest.approx(truth["duration"], abs=0.01)
    said = [Word(word["start"], word["end"], word["word"]) for word in truth["words"]]
    heard = [Word(word.start, word.end, word.word) for segment in segments for word in segment.words]
    errors = start_errors(said, heard)
    assert len(errors) == len(said)
    assert statistics.median(errors) <= 0.04


def test_the_bundled_sample_is_the_one_its_command_makes():
    from faster_whisper.audio import decode_audio

    from models.training.make_sample import LINES, truth

    written = json.loads((DEMO / "sample.json").read_text(encoding="utf-8"))
    made = recordings.conversation(LINES, seed=1, noise=0.0002)
    assert written == json.loads(json.dumps(truth(made)))
    assert (decode_audio(str(DEMO / "sample.flac")) == made.audio).all()
    assert split_words(written["text"]) == [word["word"] for word in written["words"]]
