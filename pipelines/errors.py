"""What can go wrong with a recording, and whose fault it is.

    LonghandError            code, detail (one sentence that says what to do)
    ├── InputError           the user's file; never retried
    │   ├── UnsupportedMedia unsupported_media
    │   ├── NoAudio          no_audio
    │   └── TooLong          too_long
    ├── OptionsError         options that are wrong or contradict each other; never retried
    │   └── UnknownModel     unknown_model
    ├── TransientError       may pass by itself; retried with backoff
    │   └── ModelUnavailable model_unavailable (the hub cannot be reached, a download broke off)
    ├── EngineError          ours: a model failed; logged with traceback
    ├── ToolError            ours: an external program failed in a way that is not the file's fault
    └── Cancelled            not a failure: somebody asked for the work to stop

A detail is shown to people. It names no path of the server and carries no traceback.
"""

from typing import ClassVar


class LonghandError(Exception):
    """Base of everything a job can fail with.

    Args:
        detail: One sentence for a person, saying what to do.
        code: Stable machine-readable code; the class's own when not given.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code  # type: ignore[misc]  # an instance may be more exact than its class


class InputError(LonghandError):
    """The recording itself cannot be used; trying again changes nothing."""

    code = "unsupported_media"


class UnsupportedMedia(InputError):
    """Not media, or media that ffmpeg cannot read."""

    code = "unsupported_media"


class NoAudio(InputError):
    """Readable media without an audio track."""

    code = "no_audio"


class TooLong(InputError):
    """More audio than the operator allows in one recording."""

    code = "too_long"


class OptionsError(LonghandError):
    """Options that are out of range or contradict each other."""

    code = "invalid_option"


class UnknownModel(OptionsError):
    """A model name that resolves to nothing."""

    code = "unknown_model"


class TransientError(LonghandError):
    """May pass by itself: out of memory, storage away, a download that broke off."""

    code = "unavailable"


class ModelUnavailable(TransientError):
    """The model is not on this machine and cannot be fetched now."""

    code = "model_unavailable"


class EngineError(LonghandError):
    """A model failed in a way that is nobody's input; a bug or a broken installation."""

    code = "engine_error"


class ToolError(LonghandError):
    """An external program is missing or failed in a way that is not the file's fault."""

    code = "tool_error"


class Cancelled(LonghandError):
    """Raised inside a stage, by its progress callback, when the job was cancelled."""

    code = "cancelled"
