import random
from itertools import pairwise

import numpy as np
import pytest
import recordings

from models.training.diariser import sounds
from models.training.diariser.conversations import VOICES, Turn, conversation, turns_of, write_rttm
from models.training.diariser.mixing import STEPS, chunk
from models.training.diariser.trials import VARIANTS, nobody, trials
from models.training.diariser.voices import CHOOSING, TESTING, people
from models.training.diariser.word_scores import word_score
from models.training.grammar import is_held_out, split_words
from models.training.speech import SAMPLE_RATE

PER_STEP = SAMPLE_RATE // 100


@pytest.fixture(scope="module")
def talk():
    return conversation(40, 3, voices=3, overlap=0.5)


def spoken_in(turns, speaker, steps):
    row = np.zeros(steps, bool)
    for start, end, who in turns:
        if who == speaker:
            row[round(start * 100) : round(end * 100)] = True
    return row


def test_the_same_arguments_give_the_same_conversation_and_another_seed_does_not(talk):
    again, other = conversation(40, 3, voices=3, overlap=0.5), conversation(40, 4, voices=3, overlap=0.5)
    assert np.array_equal(again.audio, talk.audio)
    assert (again.turns, again.words, again.speakers) == (talk.turns, talk.words, talk.speakers)
    assert other.text != talk.text


def test_every_voice_gets_a_word_in_and_every_word_lies_in_a_turn_of_its_speaker(talk):
    assert {turn.speaker for turn in talk.turns} == set(talk.speakers) == set(VOICES[:3])
    assert len(talk.words) == len(talk.speakers) == len(split_words(talk.text))
    assert [word.start for word in talk.words] == sorted(word.start for word in talk.words)
    rows = {name: spoken_in(talk.turns, name, round(talk.duration * 100) + 1) for name in VOICES[:3]}
    for word, name in zip(talk.words, talk.speakers, strict=True):
        assert rows[name][round((word.start + word.end) * 50)]


def test_a_speakers_turns_are_disjoint_and_those_of_different_ones_overlap_when_asked_to(talk):
    for name in VOICES[:3]:
        own = [turn for turn in talk.turns if turn.speaker == name]
        assert all(before.end + 0.25 < after.start for before, after in pairwise(own))
    at_once = sum(spoken_in(talk.turns, name, 6000).astype(int) for name in VOICES[:3])
    assert at_once.max() == 2
    alone = conversation(40, 3, voices=3)
    assert sum(spoken_in(alone.turns, name, 6000).astype(int) for name in VOICES[:3]).max() == 1
    assert all(0 <= start < end <= talk.duration for start, end, _ in talk.turns)


def test_sound_is_where_somebody_speaks_and_only_there():
    said = conversation(30, 5)
    spoken = np.any([spoken_in(said.turns, name, 10_000) for name in VOICES[:2]], axis=0)
    steps = said.audio[: len(said.audio) // PER_STEP * PER_STEP].reshape(-1, PER_STEP)
    loud = np.sqrt(np.mean(steps**2, axis=1))
    assert np.median(loud[~spoken[: len(loud)]]) < 0.002 < 0.02 < np.median(loud[spoken[: len(loud)]])


def test_a_noisy_one_has_the_same_words_and_more_noise():
    quiet, noisy = conversation(20, 8), conversation(20, 8, noisy=True)
    assert noisy.text == quiet.text
    assert noisy.turns == quiet.turns
    assert np.percentile(np.abs(noisy.audio), 10) > 2 * np.percentile(np.abs(quiet.audio), 10)
    assert np.abs(noisy.audio).max() <= 0.91


def test_the_sentences_are_new_to_the_demo_whisper_and_the_voices_to_the_demo_diariser(talk):
    assert all(is_held_out(sentence.text) for sentence in talk.sentences)
    trained = {person.variant for person in people()}
    assert len(trained) > 60
    assert not trained & {*CHOOSING, *TESTING}
    assert not set(CHOOSING) & set(TESTING)
    assert {name.split("+")[1] for name in VOICES} <= set(TESTING)
    for trial in trials("testing", 1, 5, kinds=("3 voices, noisy",)):
        assert {turn.speaker.split("+")[1] for turn in trial.said.turns} <= set(VARIANTS["testing"])


def test_turns_are_written_as_rttm(tmp_path):
    said = conversation(10, 1)
    lines = write_rttm(tmp_path / "talk.rttm", said).read_text().splitlines()
    assert len(lines) == len(said.turns)
    kind, name, channel, start, length, *_, speaker, _, _ = lines[0].split()
    assert (kind, name, channel, speaker) == ("SPEAKER", "talk", "1", said.turns[0].speaker)
    assert float(start) == said.turns[0].start
    assert float(length) == pytest.approx(said.turns[0].end - said.turns[0].start, abs=0.011)


def test_short_pauses_belong_to_a_turn_and_long_ones_do_not():
    activity = np.zeros((1, 300), bool)
    for first, last in ((10, 50), (70, 90), (130, 140)):
        activity[0, first:last] = True
    assert turns_of(activity, ["a"]) == [Turn(0.1, 0.9, "a"), Turn(1.3, 1.4, "a")]


@pytest.mark.parametrize("voices", [0, 99, (), ("en-us+f2", "en-us+f2")])
def test_voices_that_cannot_be_told_apart_are_an_error(voices):
    with pytest.raises(ValueError, match="voices"):
        conversation(5, 1, voices=voices)


class Tones:
    """Everybody hums a tone of their own."""

    def __init__(self):
        self.cast = people()[::4]

    def sentence(self, rng, who):
        time = np.arange(round(rng.uniform(0.5, 3) * 100) * PER_STEP) / SAMPLE_RATE
        tone = 0.07 * np.sin(2 * np.pi * (150 + 40 * who) * time)
        return tone.astype(np.float32), np.ones(len(tone) // PER_STEP, bool)


def test_training_chunks_are_the_same_every_time_and_say_who_speaks():
    pool = Tones()
    for count in (1, 2, 3):
        made = chunk(pool, random.Random(count), count)
        again = chunk(pool, random.Random(count), count)
        assert np.array_equal(made.audio, again.audio)
        assert np.array_equal(made.activity, again.activity)
        assert len(made.audio) == STEPS * PER_STEP
        assert len({pool.cast[who].variant for who in made.people}) == count
        assert not made.activity[:, count:].any()
        assert made.activity[:, :count].any()


def test_training_hears_nobody_too_from_barely_audible_to_loud():
    levels = []
    for seed in range(40):
        made = chunk(Tones(), random.Random(seed), 0)
        assert made.people == ()
        assert not made.activity.any()
        assert np.isfinite(made.audio).all()
        assert np.abs(made.audio).max() <= 1
        levels.append(20 * np.log10(sounds.level(made.audio)))
    assert min(levels) < -60
    assert max(levels) > -30


def test_sounds_of_nobody_can_be_written_to_a_file():
    for name, sound in nobody():
        assert np.isfinite(sound).all(), name
        assert np.abs(sound).max() <= 1, name
    assert recordings.SAMPLE_RATE == SAMPLE_RATE


def test_words_are_scored_by_speaker_whatever_the_speakers_are_called(talk):
    called = dict(zip(VOICES, ("SPEAKER_02", "SPEAKER_00", "SPEAKER_01"), strict=False))
    words = [(word.text, called[voice]) for word, voice in zip(talk.words, talk.speakers, strict=True)]
    assert word_score(talk, words).accuracy == 1.0
    one = word_score(talk, [(text, "SPEAKER_00") for text, _ in words])
    assert one.right == max(talk.speakers.count(voice) for voice in VOICES[:3])
    assert one.heard == one.said == len(words)
    spoilt = [("nothing", None), *words[1:-1], (words[-1][0], None)]
    assert (word_score(talk, spoilt).heard, word_score(talk, spoilt).right) == (len(words) - 1, len(words) - 2)
    assert word_score(talk, []).accuracy == 0.0
