"""Where the files of a diariser are, and how they come to this machine.

pyannote.audio would look for whatever is not a folder on the model hub, file by file and again at every start. So it is
told folders only: a pipeline's configuration is read here and every model it names is found, in the order own folder,
downloads so far, hub. Model folders are the operator's: what is in them is run, as a checkpoint is a program.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.engines.diarisers import DEFAULT_MODEL, DiariserSettings
from pipelines.engines.resolve import DEMO, FOLDERS, HUB_ID, Resolved, hub_reachable
from pipelines.errors import LonghandError, ModelUnavailable, UnknownModel

_log = logging.getLogger(__name__)

CONFIG = "config.yaml"
_WANTED = ["*.yaml", "*.bin", "*.npz"]
_FILES = {
    "segmentation": ("pytorch_model.bin",),
    "embedding": ("pytorch_model.bin",),
    "plda": ("plda.npz", "xvec_transform.npz"),
}
"""What each part of a pipeline is made of."""
_STANDARD = "SpeakerDiarization"


@dataclass(frozen=True)
class Files:
    """A pipeline whose files are all on this machine."""

    found: Resolved
    config: dict[str, Any]
    """As ``Pipeline.from_pretrained`` takes it, with folders for all models."""


def demo_diariser_folder() -> Path:
    """The diariser that comes with the project."""
    return Path(__file__).resolve().parents[2] / "models" / "demo" / "diariser"


def resolve_diariser(name: str) -> Resolved:
    """What a name stands for; looks at the disk for a folder, never at the network.

    Raises:
        UnknownModel: It stands for nothing.
    """
    if name == DEMO:
        folder = demo_diariser_folder()
        if not (folder / CONFIG).is_file():
            raise UnknownModel("The demo diariser is not part of this installation; run Longhand from a full checkout.")
        return Resolved("demo", str(folder), name)
    if name.startswith(FOLDERS):
        folder = Path(name).expanduser().resolve()
        if not folder.is_dir():
            raise UnknownModel(f"There is no model folder {folder.name!r}: check the path in DIARISATION_MODEL.")
        if not (folder / CONFIG).is_file():
            raise UnknownModel(
                f"The model folder {folder.name!r} has no {CONFIG}: put all files of a pyannote.audio pipeline there."
            )
        if folder == demo_diariser_folder().resolve():
            return Resolved("demo", str(folder), DEMO)
        return Resolved("folder", str(folder), folder.name)
    if Path(name).is_dir():
        raise UnknownModel(f"{name} is a folder: write it as ./{name}, or by its full path, in DIARISATION_MODEL.")
    if HUB_ID.fullmatch(name):
        return Resolved("hub", name, name)
    raise UnknownModel(
        f"There is no model {name!r} for telling speakers apart: set DIARISATION_MODEL to a hub id such as "
        f"{DEFAULT_MODEL}, to demo, or to a folder given by its full path."
    )


def diariser_files(settings: DiariserSettings) -> Files:
    """The operator's pipeline with all its files, downloaded if need be.

    Raises:
        UnknownModel: There is no such pipeline, or files of it are missing.
        ModelUnavailable: The hub cannot be reached, broke off, or wants a token.
    """
    found = resolve_diariser(settings.model)
    source = _Source(found, settings)
    folder = source.repository(found.location, (CONFIG,)) if found.kind == "hub" else Path(found.location)
    config = _read(folder / CONFIG, found)
    pipeline = config["pipeline"]
    config.pop("device", None)  # which one is the operator's setting
    params = pipeline["params"] = dict(pipeline.get("params") or {})
    if str(pipeline["name"]).rpartition(".")[2] == _STANDARD:
        if "plda" not in params and params.get("clustering", "VBxClustering") != "VBxClustering":
            # It is opened in any case, and used by nothing else.
            params["plda"] = str(demo_diariser_folder() / "plda")
        for part in _FILES:
            params.setdefault(part, {"checkpoint": DEFAULT_MODEL, "subfolder": part})
    for part, files in _FILES.items():
        if part in params:
            params[part] = {"checkpoint": str(source.part(folder, params[part], files))}
    return Files(found, config)


def on_this_machine(settings: DiariserSettings) -> bool:
    """Whether the operator's pipeline was downloaded, or need not be.

    Raises:
        UnknownModel: There is no such pipeline.
    """
    found = resolve_diariser(settings.model)
    return found.kind != "hub" or _Source(found, settings).cached(found.location, (CONFIG,)) is not None


def _read(path: Path, found: Resolved) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]  # comes with pyannote.audio; no type information published

    try:
        config = yaml.safe_load(path.read_text("utf-8"))
        if isinstance(config["pipeline"]["name"], str):
            return dict(config)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        _log.info("the configuration of the diariser %s cannot be read: %s", found.name, error)
    raise UnknownModel(f"The {CONFIG} of the model {found.name} is not that of a pyannote.audio pipeline: replace it.")


class _Source:
    """Finds files for one pipeline; only one from the hub may fetch anything from there."""

    def __init__(self, found: Resolved, settings: DiariserSettings) -> None:
        self._found = found
        self._settings = settings

    def part(self, folder: Path, named: Any, files: tuple[str, ...]) -> Path:
        """The folder of a model that a configuration names: ``$model/…``, a folder beside it, or a hub id."""
        subfolder = ""
        if isinstance(named, dict):
            named, subfolder = str(named.get("checkpoint", "")), str(named.get("subfolder") or "")
        named = str(named)
        if named == "$model" or named.startswith("$model/"):
            subfolder = "/".join(filter(None, (named[len("$model/") :].partition("@")[0].strip("/"), subfolder)))
            if self._found.kind == "hub":  # a download may have broken off after the configuration
                return self._inside(self._found.location, subfolder, files)
            if found := _complete(folder / subfolder, files):
                return found
        elif found := _complete(folder / Path(named).expanduser() / subfolder, files):  # an absolute one stays itself
            return found
        elif HUB_ID.fullmatch(named):
            return self._inside(named, subfolder, files)
        raise UnknownModel(
            f"The model {self._found.name} lacks {' and '.join(files)} of a part that its {CONFIG} names: "
            "put all files of the pipeline there."
        )

    def _inside(self, hub_id: str, subfolder: str, files: tuple[str, ...]) -> Path:
        return self.repository(hub_id, tuple(f"{subfolder}/{name}".lstrip("/") for name in files)) / subfolder

    def repository(self, hub_id: str, files: tuple[str, ...]) -> Path:
        """The folder of a repository, from the downloads so far if these files are among them."""
        if (folder := self.cached(hub_id, files)) is not None:
            return folder
        if self._found.kind != "hub":
            raise UnknownModel(
                f"The model {self._found.name} takes files of {hub_id} from the model hub: put them into its folder "
                f"and name them in its {CONFIG}."
            )
        if not hub_reachable(self._settings.hub_timeout):
            raise ModelUnavailable(
                f"The model {hub_id} is not on this machine and the model hub cannot be reached: connect the machine "
                "to it once, or set DIARISATION_MODEL to a folder with the model's files, or to demo."
            )
        _log.info("downloading the model %s", hub_id)
        self._download(hub_id)
        if (folder := self.cached(hub_id, files)) is None:
            raise UnknownModel(f"The model {hub_id} is no pyannote.audio model: set DIARISATION_MODEL to one that is.")
        return folder

    def cached(self, hub_id: str, files: tuple[str, ...]) -> Path | None:
        """The folder of a repository of which these files were downloaded."""
        from huggingface_hub import try_to_load_from_cache

        cache = self._settings.model_cache
        paths = [try_to_load_from_cache(hub_id, name, cache_dir=cache) for name in files]
        if not all(isinstance(path, str) and Path(path).is_file() for path in paths):
            return None
        first = Path(str(paths[0]))
        return first.parents[files[0].count("/")]

    def _download(self, hub_id: str) -> None:
        from huggingface_hub import errors, snapshot_download

        settings = self._settings
        try:
            snapshot_download(hub_id, cache_dir=settings.model_cache, allow_patterns=_WANTED, token=settings.token)
        except errors.GatedRepoError as error:
            raise self._gated(hub_id) from error
        except errors.RepositoryNotFoundError as error:
            raise UnknownModel(f"The model hub has no model {hub_id}: check its spelling, or set HF_TOKEN.") from error
        except ImportError:
            raise
        except Exception as error:  # the client's errors have no common class short of this one
            if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
                raise self._gated(hub_id) from error
            raise ModelUnavailable(
                f"The download of the model {hub_id} broke off: try again, it goes on where it stopped."
            ) from error

    @staticmethod
    def _gated(hub_id: str) -> LonghandError:
        return ModelUnavailable(
            f"The model {hub_id} is given out on request only: accept its terms on the model hub and set HF_TOKEN to "
            "a token of the same account."
        )


def _complete(folder: Path, files: tuple[str, ...]) -> Path | None:
    """The folder if all files are in it; of a model that is one file, that file may be named instead."""
    if folder.is_file():
        return folder if len(files) == 1 else None
    return folder if all((folder / name).is_file() for name in files) else None
