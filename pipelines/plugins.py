"""Files of the user's with stages or engines of their own."""

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.stage import StageError


def load_plugins(folders: Sequence[Path]) -> None:
    """Import each ``.py`` file of these folders, once a process."""
    for folder in folders:
        if not folder.is_dir():
            raise StageError(f"plugin folder {folder} does not exist")
        for path in sorted(folder.glob("*.py")):
            name = f"longhand_plugin_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}_{path.stem}"
            if name in sys.modules:
                continue
            spec = importlib.util.spec_from_file_location(name, path)
            if spec is None or spec.loader is None:
                raise StageError(f"plugin {path} cannot be imported")
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
