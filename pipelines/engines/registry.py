"""Engines by name: those of this package, and those that plugins add."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

_Load = TypeVar("_Load", bound=Callable[..., Any])


class Registry(Generic[_Load]):
    """Functions that load something with one library or another, by the name of the engine.

    Args:
        purpose: What the engines are for, as a message says it: ``"telling speakers apart"``.
    """

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._found: dict[str, _Load] = {}

    def register(self, name: str) -> Callable[[_Load], _Load]:
        """Make the decorated function the engine of that name."""

        def register(load: _Load) -> _Load:
            self._found[name] = load
            return load

        return register

    def loader(self, name: str) -> _Load:
        """The load function of an engine. The modules of this package are imported to find it; that is light.

        Raises:
            KeyError: No engine of that name; the message lists those there are.
        """
        if name not in self._found:
            from pipelines import engines

            for module in pkgutil.iter_modules(engines.__path__):
                importlib.import_module(f"{engines.__name__}.{module.name}")
        if name not in self._found:
            raise KeyError(f"no engine {name!r} for {self._purpose}; there are {sorted(self._found)}")
        return self._found[name]
