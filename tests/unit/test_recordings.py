import random
import wave

import numpy as np
import pytest
import recordings
from recordings import SAMPLE_RATE, split_words

from models.training.grammar import held_out_sentence, is_held_out, sentence


@pytest.fixture(scope="module")
def minute():
    return recordings.recording(60, 1)


def level(audio):
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0


def between(recording, start, end):
    return recording.audio[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def test_same_seed_gives_the_same_samples_and_times_and_another_seed_does_not(minute):
    again, other = recordings.recording(60, 1), recordings.recording(60, 2)
    assert np.array_equal(again.audio, minute.audio)
    assert again.words == minute.words
    assert other.text != minute.text


def test_one_utterance_does_not_depend_on_what_was_spoken_before():
    first = recordings.utterance(5)
    recordings.utterance(6)
    assert np.array_equal(recordings.utterance(5).audio, first.audio)


@pytest.mark.parametrize("language", ["en", "es", "de"])
def test_words_stand_in_order_inside_the_audio_and_are_those_of_the_text(language):
    spoken = recordings.recording(20, 3, language=language)
    assert [word.text for word in spoken.words] == split_words(spoken.text)
    assert all(0 <= word.start < word.end <= spoken.duration for word in spoken.words)
    following = zip(spoken.words, spoken.words[1:], strict=False)
    assert all(word.end <= after.start + 0.001 for word, after in following)


def test_sound_is_where_the_words_are_and_only_there(minute):
    gaps = zip(minute.words, minute.words[1:], strict=False)
    pauses = [between(minute, a.end + 0.02, b.start - 0.02) for a, b in gaps if b.start - a.end > 0.2]
    assert len(pauses) > 10
    assert max(map(level, pauses)) < 0.005
    assert min(level(between(minute, *word[:2])) for word in minute.words) > 0.01
    assert max(level(between(minute, 0, minute.words[0].start - 0.02)), 0.0) < 0.005


def test_sentences_are_held_out_from_training(minute):
    assert all(is_held_out(spoken.text) for spoken in minute.sentences)
    assert len(minute.sentences) > 10


def test_one_sentence_in_sixteen_is_held_out():
    rng = random.Random(4)
    drawn = [sentence(rng) for _ in range(4000)]
    assert 0.05 < sum(map(is_held_out, drawn)) / len(drawn) < 0.075
    assert "," not in "".join(held_out_sentence(rng, unbroken=True) for _ in range(300))


def test_a_small_gap_leaves_no_pause_in_minutes_of_speech():
    spoken = recordings.recording(120, 9, gap=(0.02, 0.08), noise=0)
    frames = spoken.audio[: len(spoken.audio) // 160 * 160].reshape(-1, 160)
    quiet = np.sqrt(np.mean(frames**2, axis=1)) < 0.005
    longest = max(map(len, "".join(".#"[bool(frame)] for frame in quiet[50:-10]).split(".")))
    assert longest <= 25  # a quarter of a second: closures inside words and the gap itself


def test_an_utterance_begins_after_its_lead():
    spoken = recordings.utterance(11, lead=(0.3, 0.3))
    assert spoken.words[0].start == pytest.approx(0.3, abs=0.06)
    assert not between(spoken, 0, 0.3).any()
    assert len(spoken.sentences) == 1


def test_files_hold_the_same_samples(tmp_path, minute):
    from faster_whisper.audio import decode_audio

    short = recordings.utterance(1)
    with wave.open(str(short.write(tmp_path / "a.wav", times=3))) as written:
        assert written.getnframes() == 3 * len(short.audio)
        assert (written.getframerate(), written.getnchannels(), written.getsampwidth()) == (SAMPLE_RATE, 1, 2)
    assert np.array_equal(decode_audio(str(short.write(tmp_path / "a.flac"))), short.audio)
    for name in ("a.mp3", "a.ogg", "a.opus"):
        decoded = decode_audio(str(short.write(tmp_path / name)))
        assert len(decoded) / SAMPLE_RATE == pytest.approx(short.duration, abs=0.1)


def test_nothing_to_transcribe_is_as_loud_as_asked():
    assert not recordings.silence(2).audio.any()
    assert recordings.silence(2).duration == 2
    assert level(recordings.white_noise(2, level=0.1).audio) == pytest.approx(0.1, rel=0.02)
    assert np.array_equal(recordings.white_noise(1, seed=3).audio, recordings.white_noise(1, seed=3).audio)
    assert 0.02 < level(recordings.hum(2).audio) < 0.1


def test_an_unknown_voice_is_an_error():
    with pytest.raises(ValueError, match="no voice"):
        recordings.utterance(1, voice="xx-nobody")
