"""The settings at the start of a process that people see: valid, or one sentence instead of a traceback."""

from pydantic import ValidationError

from config.settings import Settings


def load() -> Settings:
    """The settings of the environment and ``.env``.

    Raises:
        SystemExit: They are not valid; it says what is wrong with each.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SystemExit(explain(error)) from None


def explain(error: ValidationError) -> str:
    """What is wrong with each setting, named as in the environment; no value is shown, it may be secret."""
    sentences = []
    for problem in error.errors():
        name = str(problem["loc"][0]).upper() if problem["loc"] else ""
        reason = problem["msg"].removeprefix("Value error, ")
        sentences.append(f"{name}: {reason}" if name else reason)
    return "The settings are not valid. " + "; ".join(sentences) + "."
