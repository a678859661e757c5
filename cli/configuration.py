"""Says in words what is wrong with the settings."""

from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """What is wrong with each setting, named as in the environment; no value is shown, it may be secret."""
    sentences = []
    for problem in error.errors():
        name = str(problem["loc"][0]).upper() if problem["loc"] else ""
        reason = problem["msg"].removeprefix("Value error, ")
        sentences.append(f"{name}: {reason}" if name else reason)
    return "The settings are not valid. " + "; ".join(sentences) + "."
