from collections import Counter
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import pairwise

import jiwer
import numpy as np
import pytest
import recordings
from faster_whisper import BatchedInferencePipeline
from faster_whisper.vad import VadOptions, get_speech_timestamps

from pipelines.documents import SAMPLE_RATE, Segment, Span
from pipelines.engines import EngineSettings, Request, decoding, gates, loader
from pipelines.engines.faster_whisper import FasterWhisper
from pipelines.engines.resolve import Resolved, demo_folder
from pipelines.engines.windows import Piece, Window
from pipelines.errors import EngineError, OptionsError, TransientError

SETTINGS = EngineSettings(device="cpu", cpu_threads=1)
ENGLISH = Request(language="en")
FOUND = Resolved("demo", str(demo_folder()), "demo")
CUDA_OUT_OF_MEMORY = "CUDA failed with error out of memory"


@pytest.fixture(scope="module")
def talk():
    """Sentences for five windows, some with pauses between that are taken out."""
    return recordings.recording(150, 41, gap=(0.25, 2.0))


@pytest.fixture(scope="module")
def spans(talk):
    options = VadOptions(max_speech_duration_s=30, min_silence_duration_ms=160)
    found = get_speech_timestamps(talk.audio, options)
    return [Span(start=one["start"] / SAMPLE_RATE, end=one["end"] / SAMPLE_RATE) for one in found]


@pytest.fixture(scope="module")
def segments(demo, talk, spans):
    return list(demo.transcribe(talk.audio, spans, ENGLISH))


@pytest.fixture(autouse=True)
def roomy():
    """What fitted into memory is forgotten between tests."""
    decoding._fitting.clear()


class Faulty:
    """A Whisper model that fails in the ways a GPU does; everything else is the real model's."""

    def __init__(self, model, *, most: int = 99, error: Exception | None = None) -> None:
        self._real = model
        self._most = most
        self._error = error or RuntimeError(CUDA_OUT_OF_MEMORY)
        self.batches: list[int] = []
        self.alone = 0

    def transcribe(self, *args, **kwargs):
        self.alone += 1
        return self._real.transcribe(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self._real, name)

    def encode(self, features):
        self.batches.append(features.shape[0])
        if features.shape[0] > self._most:
            raise self._error
        return self._real.encode(features)


def alike(ours: list[Segment], theirs: list[Segment]) -> bool:
    """The same words at the same times; batches of another size round the last digits otherwise."""
    pairs = list(zip((w for s in ours for w in s.words), (w for s in theirs for w in s.words), strict=False))
    return words(ours) == words(theirs) and all(abs(a.start - b.start) < 0.05 for a, b in pairs)


def words(segments: list[Segment]) -> list[str]:
    return [word.word for segment in segments for word in segment.words]


def spoken(text: str) -> str:
    return " ".join(recordings.split_words(text.lower()))


def test_it_hears_what_the_direct_call_hears(demo, talk, segments):
    direct, _ = BatchedInferencePipeline(demo._model).transcribe(
        talk.audio, language="en", temperature=0.0, word_timestamps=True, vad_filter=True
    )
    expected = [word for segment in direct for word in segment.words]
    assert words(segments) == [word.word for word in expected]
    ours = [word.start for segment in segments for word in segment.words]
    assert max(abs(start - word.start) for start, word in zip(ours, expected, strict=True)) < 0.1


def test_it_drops_no_real_speech(demo, talk, segments):
    heard = spoken(" ".join(segment.text for segment in segments))
    assert jiwer.wer(spoken(talk.text), heard) < 0.1
    assert not demo.dropped


def test_segments_are_sentences_in_order_inside_the_speech(talk, spans, segments):
    assert len(segments) >= 0.8 * len(talk.sentences)
    assert [segment.id for segment in segments] == list(range(len(segments)))
    every = [word for segment in segments for word in segment.words]
    assert all(before.end <= after.start for before, after in pairwise(every))
    assert all(any(span.start - 0.001 <= w.start <= w.end <= span.end + 0.001 for span in spans) for w in every)
    for segment in segments:
        assert "".join(word.word for word in segment.words).strip() == segment.text
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)


def test_word_times_are_true(talk, segments):
    ours = [(spoken(word.word), word.start) for segment in segments for word in segment.words]
    truth = [(spoken(word.text), word.start) for word in talk.words]
    same = SequenceMatcher(None, [word for word, _ in ours], [word for word, _ in truth], autojunk=False)
    errors = [
        abs(ours[block.a + n][1] - truth[block.b + n][1])
        for block in same.get_matching_blocks()
        for n in range(block.size)
    ]
    assert len(errors) > 0.9 * len(truth)
    assert np.median(errors) < 0.03
    assert np.mean(errors) < 0.1


def test_nothing_is_looked_at_outside_the_spans(demo, talk):
    first = talk.sentences[0]
    (only,) = demo.transcribe(talk.audio, [Span(start=0, end=first.end + 0.2)], ENGLISH)
    assert only.end <= first.end + 0.2
    assert list(demo.transcribe(talk.audio, [], ENGLISH)) == []


@pytest.mark.parametrize("sound", [recordings.silence(20), recordings.white_noise(20), recordings.hum(20)])
def test_no_text_where_nobody_speaks(demo, sound):
    assert list(demo.transcribe(sound.audio, [Span(start=0, end=sound.duration)], ENGLISH)) == []


@pytest.mark.parametrize("samples", [1, 100, 400, 3200])
def test_a_moment_of_sound_breaks_nothing(demo, samples):
    audio = np.zeros(samples, np.float32)
    assert list(demo.transcribe(audio, [Span(start=0, end=samples / SAMPLE_RATE)], ENGLISH)) == []


def test_what_is_dropped_is_counted(demo):
    model = FasterWhisper(demo._model, FOUND, SETTINGS)
    list(model.transcribe(np.zeros(SAMPLE_RATE, np.float32), [Span(start=0, end=1)], ENGLISH))
    assert model.dropped == Counter(silence=1)


def test_each_window_gets_its_own_text_wherever_it_begins(demo):
    # 0.58, 1.14 and 1.16 seconds are a frame less when a float is rounded down; one window is a single sample.
    sounds = [recordings.white_noise(seconds, seed=n).audio for n, seconds in enumerate((0.58, 0.56, 0.02, 0.004, 1.1))]
    starts = [sum(len(sound) for sound in sounds[:n]) for n in range(len(sounds))]
    windows = [Window((Piece(0, start, len(sound)),)) for start, sound in zip(starts, sounds, strict=True)]
    options = demo._options(ENGLISH)
    together = list(decoding.Decoder(demo._model, ("a",), 8).decode(np.concatenate(sounds), windows, options))
    apart = list(decoding.Decoder(demo._model, ("b",), 1).decode(np.concatenate(sounds), windows, options))
    assert [window for window, _ in together] == windows
    assert all(output.words for _, output in together), "the demo model writes a word on anything; gates come later"
    assert [output.text for _, output in together] == [output.text for _, output in apart]
    assert all(0 <= w.start <= w.end < window.seconds + 1 for window, output in together for w in output.words)


def test_out_of_memory_makes_batches_smaller_and_loses_nothing(demo, talk, spans, segments):
    faulty = Faulty(demo._model, most=2)
    model = FasterWhisper(faulty, FOUND, SETTINGS)
    assert alike(list(model.transcribe(talk.audio, spans, ENGLISH)), segments)
    assert faulty.batches[0] > 2
    assert max(faulty.batches[1:]) == 2

    again = Faulty(demo._model, most=2)
    list(FasterWhisper(again, FOUND, SETTINGS).transcribe(talk.audio, spans[:22], ENGLISH))
    assert again.batches == [2, 1], "the smaller batch is remembered, for these three windows too"


def test_out_of_memory_in_the_middle_hands_on_each_window_once(demo, talk, spans, segments):
    faulty = Faulty(demo._model)
    heard = FasterWhisper(faulty, FOUND, replace(SETTINGS, batch_size=2)).transcribe(talk.audio, spans, ENGLISH)
    first = next(heard)
    faulty._most = 1
    assert alike([first, *heard], segments)
    assert faulty.batches[:4] == [2, 2, 1, 1], "one batch done, one refused, the same windows one by one"


@pytest.mark.parametrize("error", [RuntimeError(CUDA_OUT_OF_MEMORY), MemoryError()])
def test_not_even_one_window_fits(demo, talk, spans, error):
    model = FasterWhisper(Faulty(demo._model, most=0, error=error), FOUND, SETTINGS)
    with pytest.raises(TransientError, match="smaller model") as caught:
        list(model.transcribe(talk.audio, spans, ENGLISH))
    assert caught.value.code == "out_of_memory"


def test_another_failure_is_ours(demo, talk, spans):
    broken = RuntimeError("CUDA failed with error an illegal memory access was encountered")
    model = FasterWhisper(Faulty(demo._model, most=0, error=broken), FOUND, SETTINGS)
    with pytest.raises(EngineError) as caught:
        list(model.transcribe(talk.audio, spans, ENGLISH))
    assert caught.value.__cause__ is broken
    assert "illegal" not in caught.value.detail


def test_text_comes_after_every_batch(demo, talk, spans):
    faulty = Faulty(demo._model)
    heard = FasterWhisper(faulty, FOUND, replace(SETTINGS, batch_size=1)).transcribe(talk.audio, spans, ENGLISH)
    next(heard)
    assert faulty.batches == [1], "a cancelled job must not have to wait for the rest"


def test_an_improbable_window_is_tried_again_by_itself(demo, talk, spans, monkeypatch):
    faulty = Faulty(demo._model)
    model = FasterWhisper(faulty, FOUND, SETTINGS)
    first = words(list(model.transcribe(talk.audio, spans[:3], ENGLISH)))
    assert faulty.alone == 0
    monkeypatch.setattr(gates, "IMPROBABLE", 0.0)
    assert words(list(model.transcribe(talk.audio, spans[:3], ENGLISH)))[:3] == first[:3]
    assert faulty.alone == 1


def test_a_temperature_is_given_to_real_sampling(demo, talk, spans):
    faulty = Faulty(demo._model)
    heard = FasterWhisper(faulty, FOUND, SETTINGS).transcribe(talk.audio, spans[:3], replace(ENGLISH, temperature=0.5))
    assert list(heard)
    assert (faulty.alone, faulty.batches) == (1, [])


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "meeting budget " * 1000, "hotwords": "Berlin " * 1000},
        {"prompt": "  ", "hotwords": ""},
        {"hotwords": "日本語" * 500},
        {"beam_size": 1},
        {"task": "translate"},
    ],
)
def test_options_reach_the_model_and_long_ones_are_cut(demo, talk, change):
    first = talk.sentences[0]
    assert list(demo.transcribe(talk.audio, [Span(start=0, end=first.end + 0.3)], replace(ENGLISH, **change)))


def test_without_word_times_the_segments_are_the_same(demo, talk, spans, segments):
    plain = list(demo.transcribe(talk.audio, spans, replace(ENGLISH, word_timestamps=False)))
    assert plain == [segment.model_copy(update={"words": []}) for segment in segments]


@pytest.mark.parametrize("language", ["en", "de", "es"])
def test_it_knows_the_language(demo, language):
    probabilities = demo.language_probabilities(recordings.recording(15, 3, language=language).audio)
    assert max(probabilities, key=lambda code: probabilities[code]) == language
    assert sum(probabilities.values()) == pytest.approx(1, abs=0.01)


def test_an_english_model_says_so(demo):
    class English(Faulty):
        def __getattr__(self, name):
            return Plain if name == "model" else super().__getattr__(name)

    class Plain:
        is_multilingual, device, compute_type = False, "cpu", "int8"

    model = FasterWhisper(English(demo._model), FOUND, SETTINGS)
    assert model.language_probabilities(np.zeros(16000, np.float32)) == {"en": 1.0}
    with pytest.raises(OptionsError, match="English only"):
        next(model.transcribe(np.zeros(16000, np.float32), [Span(start=0, end=1)], Request(language="de")))


def test_the_demo_model_says_what_it_is(demo):
    assert (demo.name, demo.device) == ("demo", "cpu")
    assert demo.compute_type.startswith("int8")
    assert [warning.code for warning in demo.warnings] == ["demo_model"]
    assert "vocabulary" in demo.warnings[0].detail


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        (replace(SETTINGS, device="cuda"), "WHISPER_DEVICE=cpu"),
        (replace(SETTINGS, compute_type="float8"), "WHISPER_COMPUTE_TYPE"),
    ],
)
def test_what_the_machine_cannot_do_is_said(settings, hint):
    import ctranslate2

    if settings.device == "cuda" and ctranslate2.get_cuda_device_count():
        pytest.skip("this machine has a GPU")
    with pytest.raises(EngineError, match=hint):
        loader("faster-whisper")("demo", settings)


def test_broken_files_are_said_to_be(tmp_path):
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(EngineError, match="cannot be read") as caught:
        loader("faster-whisper")(str(tmp_path), SETTINGS)
    assert str(tmp_path.parent) not in caught.value.detail
