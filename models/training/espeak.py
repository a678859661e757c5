"""A program around the C library of espeak-ng: sentences in on stdin, sound and word starts out on stdout.

    python espeak.py LIBRARY DATA_FOLDER

Each line in is a JSON object `{"text", "voice", "rate", "pitch", "pitch_range"}`. Each answer is a JSON line
`{"sample_rate", "samples", "starts": [[place in the text, sample], ...]}` followed by that many 16-bit samples, or
a line `{"error"}`. It is a process of its own because the library carries pitch wobble and noise on from sentence to
sentence in variables nobody can reset: only a fresh process with a fixed seed says the same thing twice alike.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000
_PARAMETERS = {"rate": 1, "pitch": 3, "pitch_range": 4}
_END_OF_LIST, _WORD_BEGINS = 0, 1
_BY_CHARACTER, _UTF8 = 1, 1


class _Event(ctypes.Structure):
    """`espeak_EVENT` of the library's C interface."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Synthesiser:
    """The library, started; one in a process."""

    def __init__(self, library: str, data: str) -> None:
        self._library = ctypes.CDLL(library)
        self.sample_rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DO_NOT_EXIT)
        if self.sample_rate <= 0:
            raise RuntimeError("espeak-ng did not start")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else it is the time of day
        ctypes.CDLL(None).srand(1)
        self._sound = bytearray()
        self._starts: list[tuple[int, int]] = []
        self._callback = _Callback(self._receive)  # kept: the library holds only the bare pointer
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._sound += ctypes.string_at(samples, 2 * count)
        index = 0
        while events[index].type != _END_OF_LIST:
            if events[index].type == _WORD_BEGINS:
                self._starts.append((events[index].text_position - 1, events[index].sample))
            index += 1
        return 0

    def speak(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The answer to one line: what to write as JSON, and the sound to write behind it."""
        self._sound, self._starts = bytearray(), []
        if self._library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
            return {"error": f"espeak-ng has no voice {request['voice']!r}"}, b""
        for name, number in _PARAMETERS.items():
            self._library.espeak_SetParameter(number, request[name], 0)
        text = request["text"].encode()
        size = ctypes.c_size_t(len(text) + 1)
        self._library.espeak_Synth(text, size, 0, _BY_CHARACTER, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        count = len(self._sound) // 2
        answer = {"sample_rate": self.sample_rate, "samples": count, "starts": self._starts}
        return answer, bytes(self._sound)


def main() -> None:
    """Answer line by line until stdin ends."""
    synthesiser = Synthesiser(*sys.argv[1:3])
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        answer, sound = synthesiser.speak(json.loads(line))
        out.write(json.dumps(answer).encode() + b"\n" + sound)
        out.flush()


if __name__ == "__main__":
    main()
