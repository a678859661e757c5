import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import recordings

from models.training.corpus import BANDS, Corpus, log_mel, make_corpus
from models.training.grammar import is_held_out, split_words
from models.training.tokens import Vocabulary
from models.training.windows import FULL, Source, arrange, render

TOKENIZER = Path(recordings.__file__).parents[1] / "models" / "demo" / "whisper" / "tokenizer.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("corpus")
    make_corpus(made, 80, seed=1)
    return made


@pytest.fixture(scope="module")
def corpus(folder):
    return Corpus(folder)


@pytest.fixture(scope="module")
def vocabulary(corpus):
    return Vocabulary.of(TOKENIZER, (spoken.text for spoken in corpus.utterances))


@pytest.fixture(scope="module")
def source(corpus, vocabulary):
    return Source(corpus, vocabulary)


def test_a_corpus_holds_every_kind_of_speech_and_nothing_held_out(corpus):
    assert len(corpus.utterances) == 80
    assert {spoken.kind for spoken in corpus.utterances} == {"en", "es", "de", "random", "spliced"}
    assert not any(is_held_out(spoken.text) for spoken in corpus.utterances)
    assert sum(spoken.frames for spoken in corpus.utterances) == len(corpus.mel)
    for spoken in corpus.utterances:
        assert [word for _, _, word in spoken.words] == split_words(spoken.text)
        assert spoken.words[-1][1] * 100 <= spoken.frames


def test_a_finished_corpus_is_not_made_again(folder):
    before = (folder / "mel.f16").stat().st_mtime_ns
    make_corpus(folder, 80, seed=1)
    assert (folder / "mel.f16").stat().st_mtime_ns == before


def test_mel_is_what_faster_whisper_computes_before_it_scales():
    from faster_whisper.feature_extractor import FeatureExtractor

    audio = recordings.utterance(1).audio
    theirs = FeatureExtractor()(audio, padding=160)
    ours = log_mel(audio)
    scaled = (np.maximum(ours, ours.max() - 8) + 4) / 4
    assert np.allclose(scaled.T[:, : theirs.shape[1]], theirs[:, : len(ours)], atol=1e-3)


def test_tokens_spell_the_text_and_are_spoken_within_their_words(corpus, vocabulary):
    for spoken in corpus.utterances:
        phrase = vocabulary.phrase(spoken)
        assert {token.word for token in phrase.tokens} == set(range(len(spoken.words)))
        for token in phrase.tokens:
            start, end, _ = spoken.words[token.word]
            assert not token.spoken or start - 1e-6 <= token.start <= token.end <= end + 1e-6
        assert all(0 <= vocabulary.row(token.id) < len(vocabulary.known) for token in phrase.tokens)


@pytest.mark.parametrize(("frames", "floating"), [(400, True), (1000, False), (FULL, False)])
def test_windows_hold_their_phrases_whole_in_order_and_apart(source, frames, floating):
    for seed in range(150):
        heard = arrange(random.Random(seed), source, frames, floating=floating)
        assert 0 < heard.content <= frames
        assert 0 <= heard.shift <= (FULL - frames) // 2
        for at, phrase in heard.placed:
            assert at >= 0
            assert at + phrase.frames <= max(heard.content, 1) + 1
            assert at / 100 + phrase.words[-1][1] <= frames / 100 + 0.02
            assert all(start <= end + 0.011 for start, end, _ in phrase.words)
        assert all(at + phrase.frames <= later for (at, phrase), (later, _) in pairwise(heard.placed))


def test_padding_is_zero_and_the_same_seed_gives_the_same_window(source):
    for seed in range(5):
        first, second = (
            render(rng, source, arrange(rng, source, FULL, floating=False))
            for rng in (random.Random(seed), random.Random(seed))
        )
        assert first.shape == (BANDS, FULL)
        assert np.isfinite(first).all()
        assert np.array_equal(first, second)


def test_what_lies_beyond_the_recording_is_zero(source):
    drawn = (arrange(random.Random(seed), source, FULL, floating=False) for seed in range(99))
    ended = [heard for heard in drawn if heard.content < FULL][:5]
    assert ended
    for heard in ended:
        window = render(random.Random(2), source, heard)
        assert not window[:, heard.content :].any()
        assert window[:, : heard.content].any()
