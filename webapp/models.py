"""Which models a request may name, and under which names models are shown."""

from config.models import is_folder, means_default
from config.settings import Settings
from pipelines.engines.resolve import SIZES, resolve
from pipelines.errors import UnknownModel
from webapp.errors import Problem


def allowed_model(s: Settings, name: str | None) -> str:
    """The name to note for a request's model: the same for all that mean the same, and never a folder if that has one.

    Raises:
        Problem: 404, there is no such model, or it may not be used.
    """
    target = s.model_for(name)
    asked = name if name and (name in s.model_names or not means_default(name)) else s.whisper_models[0]
    if target is not None and (asked in s.model_names or target in s.whisper_models or _exists(target)):
        return _noted(s, asked, target)
    shown = repr((name or "")[:60])
    there = ", ".join(model_names(s))
    if target is None and name and _known(name):
        detail = f"The model {shown} is not allowed here; choose one of {there}, or have it added to ALLOWED_MODELS."
        raise Problem(404, detail, code="model_not_allowed", param="model")
    raise Problem(404, f"There is no model {shown} here; choose one of {there}.", code="unknown_model", param="model")


def _noted(s: Settings, asked: str, target: str) -> str:
    if is_folder(target):
        return asked if asked in s.whisper_aliases else _alias(s, target) or target
    # A worker resolves the name again, once: one that is an alias as well would become yet another model.
    return target if s.whisper_aliases.get(target, target) == target else asked


def counted_model(settings: Settings, name: str) -> str:
    """The name under which the use of a model is shown, for one that was noted under any."""
    target = name if _exists(name) else settings.whisper_aliases.get(name, name)
    return public_model(settings, target)


def model_names(settings: Settings) -> list[str]:
    """The names a client may use, without those that are folders of the server."""
    return [name for name in settings.model_names if not is_folder(name)] or ["the default by leaving it out"]


def public_model(settings: Settings, name: str) -> str:
    """A model's name without the server's folders in it: its alias, else the folder's last part."""
    last = name.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    return (_alias(settings, name) or last) if is_folder(name) else name


def _alias(settings: Settings, target: str) -> str | None:
    """A name that clients may use for a folder of the server."""
    return next((alias for alias, folder in settings.whisper_aliases.items() if folder == target), None)


def _known(name: str) -> bool:
    """Whether it looks like a model that exists somewhere."""
    return name in SIZES or name == "demo" or (not is_folder(name) and name.count("/") == 1 and _exists(name))


def _exists(target: str) -> bool:
    try:
        return not is_folder(target) and bool(resolve(target))
    except UnknownModel:
        return False
