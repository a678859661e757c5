import io
import random
import struct
import tracemalloc
import wave

import numpy as np
import pytest

from pipelines.errors import ToolError
from pipelines.wav import WavReader

SAMPLES = np.arange(-20_000, 20_000, dtype="<i2")


def wav(samples: np.ndarray = SAMPLES, *, rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return stream.getvalue()


def riff(*chunks: tuple[bytes, bytes], data: bytes, size: int, kind: bytes = b"RIFF") -> bytes:
    """A WAV whose `data` chunk claims to have `size` bytes."""
    body = b"".join(name + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for name, c in chunks)
    return kind + b"\xff\xff\xff\xff" + b"WAVE" + body + b"data" + struct.pack("<I", size) + data


FORMAT = (b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))
EXTENSIBLE = (b"fmt ", struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 16_000, 32_000, 2, 16, 22, 16, 4, 1) + b"\0" * 14)


def test_a_range_is_read_and_clipped() -> None:
    reader = WavReader(io.BytesIO(wav()))
    assert (reader.frames, reader.duration) == (40_000, 2.5)
    expected = SAMPLES.astype(np.float32) / 32768
    assert reader.read().dtype == np.float32
    np.testing.assert_array_equal(reader.read(), expected)
    np.testing.assert_array_equal(reader.read(0.5, 1.25), expected[8_000:20_000])
    np.testing.assert_array_equal(reader.read(2, 99), expected[32_000:])
    np.testing.assert_array_equal(reader.read(-1, 0.1), expected[:1_600])
    assert reader.read(9, 10).shape == reader.read(1, 0.5).shape == (0,)


def test_blocks_are_the_whole() -> None:
    reader = WavReader(io.BytesIO(wav()))
    blocks = list(reader.blocks(0.7))
    assert [len(block) for block in blocks] == [11_200, 11_200, 11_200, 6_400]
    np.testing.assert_array_equal(np.concatenate(blocks), reader.read())


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 10**6, 80_000])
def test_a_size_nobody_filled_in_means_all_that_is_there(size: int) -> None:
    stream = io.BytesIO(riff(FORMAT, data=SAMPLES.tobytes(), size=size))
    assert WavReader(stream).frames == 40_000


def test_chunks_that_are_not_for_us_are_stepped_over() -> None:
    odd = riff((b"LIST", b"INFOISFT\3\0\0\0abc"), EXTENSIBLE, (b"junk", b"data"), data=SAMPLES.tobytes(), size=80_000)
    reader = WavReader(io.BytesIO(odd + b"LIST\4\0\0\0INFO"))
    np.testing.assert_array_equal(reader.read(), SAMPLES.astype(np.float32) / 32768)


def test_more_than_four_gigabytes_are_told_by_rf64() -> None:
    sizes = (b"ds64", struct.pack("<QQQI", 0, 80_000, 40_000, 0))
    stream = riff(sizes, FORMAT, data=SAMPLES.tobytes() + b"LIST\0\0\0\0", size=0xFFFFFFFF, kind=b"RF64")
    assert WavReader(io.BytesIO(stream)).frames == 40_000


def test_no_samples_are_no_error() -> None:
    reader = WavReader(io.BytesIO(wav(SAMPLES[:0])))
    assert (reader.duration, list(reader.blocks(30)), len(reader.read())) == (0, [], 0)


THREE = np.stack([SAMPLES[:-1], SAMPLES[::-1][:-1], SAMPLES[1:]], axis=1)


def test_one_of_several_channels_is_read_by_range() -> None:
    stream = io.BytesIO(wav(THREE, channels=3))
    expected = THREE.astype(np.float32) / 32768
    for number in (1, 2, 3):
        reader = WavReader(stream, channel=number)
        assert (reader.channels, reader.frames) == (3, 39_999)
        np.testing.assert_array_equal(reader.read(), expected[:, number - 1])
        np.testing.assert_array_equal(reader.read(0.5, 1.25), expected[8_000:20_000, number - 1])
        np.testing.assert_array_equal(reader.read(2, 99), expected[32_000:, number - 1])
        assert reader.read(9, 10).shape == reader.read(1, 0.5).shape == (0,)
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks(0.7))), expected[:, number - 1])
    np.testing.assert_array_equal(np.concatenate(list(reader.blocks_apart(0.7)), axis=1), expected.T)


def test_without_a_channel_all_are_heard_as_one() -> None:
    found = WavReader(io.BytesIO(wav(THREE, channels=3))).read()
    np.testing.assert_allclose(found, THREE.mean(axis=1) / 32768, atol=1e-6)


@pytest.mark.parametrize("channel", [0, 4, -1])
def test_a_channel_that_is_not_there_is_refused(channel: int) -> None:
    with pytest.raises(ToolError, match="no channel"):
        WavReader(io.BytesIO(wav(THREE, channels=3)), channel=channel)


def test_only_a_part_of_many_channels_is_in_memory() -> None:
    reader = WavReader(io.BytesIO(wav(np.zeros((16_000 * 60, 16), "<i2"), channels=16)), channel=7)
    tracemalloc.start()
    try:
        assert len(reader.read()) == 16_000 * 60
        assert tracemalloc.get_traced_memory()[1] < 3 * 4 * 16_000 * 60
    finally:
        tracemalloc.stop()


class Trickle(io.BytesIO):
    """Answers in pieces, as a raw or remote stream may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size if size is None or size < 0 else random.Random(size).randint(1, 1 + size // 2))


def test_a_stream_that_answers_in_pieces_is_read_whole() -> None:
    np.testing.assert_array_equal(WavReader(Trickle(wav())).read(), SAMPLES.astype(np.float32) / 32768)
    found = WavReader(Trickle(wav(THREE, channels=3)), channel=3).read()
    np.testing.assert_array_equal(found, THREE[:, 2].astype(np.float32) / 32768)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ID3 not a wav at all",
        wav()[:20],
        wav(rate=44_100),
        wav(channels=100),
        wav(width=4),
        riff(data=SAMPLES.tobytes(), size=80_000),
        riff((b"fmt ", b"\1\0"), data=SAMPLES.tobytes(), size=80_000),
        riff((b"fmt ", struct.pack("<HHIIHH", 3, 1, 16_000, 32_000, 2, 16)), data=b"", size=0),
    ],
    ids=["empty", "text", "cut", "44.1k", "100 channels", "32 bit", "no format", "short format", "float"],
)
def test_any_other_shape_is_refused(content: bytes) -> None:
    with pytest.raises(ToolError, match="prepared audio"):
        WavReader(io.BytesIO(content))
