"""What a library's exception means, in our own errors."""

from pipelines.errors import EngineError, LonghandError, TransientError

OUT_OF_MEMORY = "out_of_memory"
"""Code of what failed for want of memory, a GPU's or the machine's."""
_MEMORY = (
    "out of memory",
    "alloc_failed",
    "bad allocation",
    "bad_alloc",
    "failed to allocate",
    "can't allocate memory",
)
"""How CUDA, cuBLAS, PyTorch and the C++ library say that there is no memory left."""


def out_of_memory(error: Exception) -> bool:
    """Whether less work at once may help."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).casefold() for words in _MEMORY)


def decoding_failure(error: Exception) -> LonghandError:
    """The error to raise when a model failed at its work; our own pass unchanged."""
    if isinstance(error, LonghandError):
        return error
    if out_of_memory(error):
        return TransientError(
            "There is not enough memory for this model: wait until other work is done, or choose a smaller model.",
            code=OUT_OF_MEMORY,
        )
    return EngineError("The speech model failed on this recording: ask the operator to look at the worker's log.")


def loading_failure(name: str, device: str, error: Exception) -> LonghandError:
    """The error to raise when a model cannot be loaded; our own pass unchanged."""
    if isinstance(error, LonghandError):
        return error
    if out_of_memory(error):
        return TransientError(
            f"There is not enough memory to load the model {name}: wait until other work is done, "
            "or choose a smaller model.",
            code=OUT_OF_MEMORY,
        )
    if device == "cuda":
        return EngineError(
            f"The model {name} cannot be run on the GPU: install the CUDA libraries of requirements/gpu.txt, "
            "or set WHISPER_DEVICE=cpu."
        )
    return EngineError(
        f"The files of the model {name} cannot be read: delete them and fetch the model again, "
        "or ask the operator to look at the worker's log."
    )
