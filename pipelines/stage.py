"""What a stage is, how stages are found, and the order they run in.

A stage is one function in one file under ``stages/``. What it reads and writes is its whole interface: the order of
the pipeline, what a worker fetches and keeps, and what a rerun may skip all follow from those two lists.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from pipelines.documents import Document
from pipelines.errors import LonghandError

SOURCE = "source"
"""The recording as it was uploaded, which no stage writes, or as a stage fetched it."""

_D = TypeVar("_D", bound=Document)


class StageError(Exception):
    """The stages do not fit together; found at start, never while a job runs."""


class Options(BaseModel):
    """Base of a stage's options. A field's description is its documentation in the API."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Progress(Protocol):
    """How a stage says how far it is, and how it learns that it should stop."""

    def __call__(self, done: float, total: float) -> None:
        """Report ``done`` of ``total`` (any unit).

        Call it at least every second or so of work.

        Raises:
            pipelines.errors.Cancelled: The job was cancelled; let it pass through.
        """


class Files(Protocol):
    """The files a stage declared, wherever they are kept. A stage never makes up a path."""

    item: int | None
    """Which chunk this is, in a stage with ``each``; None otherwise."""

    scratch: Path
    """An empty folder of this run's own, removed afterwards."""

    def path(self, name: str) -> Path:
        """The local path of a whole declared input. Read only."""

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A seekable stream of a declared input; reads only the ranges it is asked for, also from object storage."""

    def has(self, name: str) -> bool:
        """Whether an optional input (declared with a trailing ``?``) is there."""

    def all(self, pattern: str) -> Sequence[str]:
        """The names that a declared pattern such as ``segments/*.json`` stands for, by number."""

    def read(self, name: str, kind: type[_D]) -> _D:
        """A declared input as a document."""

    def target(self, name: str) -> Path:
        """Where to write a declared output. It is kept, whole or not at all, when the stage returns."""

    def write(self, name: str, document: Document) -> None:
        """Write a document as a declared output."""


@dataclass(frozen=True)
class Limits:
    """What the operator allows, for stages that must bound their work."""

    max_audio_seconds: float = 10 * 3600
    ffmpeg_seconds: float = 3600
    """Wall-clock limit of one ffmpeg run."""
    max_source_bytes: int = 2048 * 1024 * 1024
    """Of a recording that is fetched."""
    fetch_seconds: float = 3600
    """Wall-clock limit of fetching one recording."""
    allow_private_urls: bool = False
    """Whether recordings may be fetched from addresses that are not public."""


@dataclass(frozen=True)
class Stage:
    """A declared stage."""

    name: str
    function: Callable[..., None]
    options: type[Options]
    queue: str
    reads: tuple[str, ...]
    """Input names; ``*`` stands for every chunk, a trailing ``?`` for "if somebody wrote it"."""
    writes: tuple[str, ...]
    """Output names; in a stage with ``each``, ``*`` stands for this chunk's number."""
    each: str | None
    """The document whose ``chunks`` this stage runs over, one task for each; None: once for the job."""
    when: Callable[[Any], bool]
    """Whether a request asks for this stage, given its options."""
    weight: float
    """Share of a typical job's time, for the progress figure; any unit."""
    describes: str | None = None
    """An output with facts about the recording that belong in the job's record: ``duration``, ``language`` …"""
    temporary: tuple[str, ...] = ()
    """Outputs, or what came with the recording, that nobody wants any more once the job is done."""
    otherwise: "Otherwise | None" = None
    """Writes the outputs when the stage has failed for good, and the job goes on; None: then the job has failed."""
    needs: frozenset[str] = field(default=frozenset())
    """What it is handed besides files, options and progress: ``limits``, ``models``, ``diarisers``."""

    @property
    def title(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or self.name).splitlines()[0]

    def pick(self, options: Mapping[str, Any]) -> Options:
        """This stage's options out of a job's."""
        return self.options.model_validate({k: v for k, v in options.items() if k in self.options.model_fields})

    def wanted(self, options: Mapping[str, Any]) -> bool:
        """Whether a job with these options runs this stage."""
        return self.when(self.pick(options))

    def after(self, error: LonghandError) -> "Stage":
        """The stage that does what this one wants done when it has failed for good.

        Raises:
            StageError: It wants nothing done, and should not have been asked.
        """
        if (otherwise := self.otherwise) is None:
            raise StageError(f"stage {self.name} has nothing to fall back on")

        def instead(files: Files, options: Options, progress: Progress) -> None:
            otherwise(files, error)

        return replace(self, function=instead, needs=frozenset(), otherwise=None)

    def run(self, files: Files, options: Options, progress: Progress, **tools: Any) -> None:
        """Call the function with what it needs."""
        self.function(files, options, progress, **{k: v for k, v in tools.items() if k in self.needs})


Otherwise = Callable[[Files, LonghandError], None]
_registry: dict[str, Stage] = {}
_TOOLS = frozenset({"limits", "models", "diarisers"})


def stage(
    *,
    queue: str,
    reads: Sequence[str],
    writes: Sequence[str],
    each: str | None = None,
    when: Callable[[Any], bool] | None = None,
    weight: float = 1.0,
    describes: str | None = None,
    temporary: Sequence[str] = (),
    otherwise: Otherwise | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a function ``(files, options, progress)`` as a stage; its name is the stage's name.

    It may also take ``limits``, ``models`` or ``diarisers`` as keyword-only arguments. The type annotation of
    ``options`` is the stage's part of the request.

    Raises:
        StageError: The declaration contradicts itself.
    """

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        options, needs = _wishes(function)
        known = {*writes, *(name.rstrip("?") for name in reads)}
        if strange := (set(temporary) - known) | (({describes} if describes else set()) - set(writes)):
            raise StageError(f"stage {function.__name__} says something of {sorted(strange)}, which it does not write")
        _registry[function.__name__] = Stage(
            name=function.__name__, function=function, options=options, queue=queue, reads=tuple(reads),
            writes=tuple(writes), each=each, when=when or (lambda _: True), weight=weight, describes=describes,
            temporary=tuple(temporary), otherwise=otherwise, needs=needs,
        )  # fmt: skip
        return function

    return declare


def _wishes(function: Callable[..., None]) -> tuple[type[Options], frozenset[str]]:
    """The options and tools that a stage's function takes, as its signature says."""
    signature = inspect.signature(function, eval_str=True)
    options = signature.parameters["options"].annotation
    if not (inspect.isclass(options) and issubclass(options, Options)):
        raise StageError(f"stage {function.__name__}: annotate `options` with a subclass of stage.Options")
    needs = frozenset(p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY)
    if needs - _TOOLS:
        raise StageError(f"stage {function.__name__}: nobody provides {sorted(needs - _TOOLS)}")
    return options, needs


def discover(plugins: Sequence[Path] = ()) -> Mapping[str, Stage]:
    """Import every file in ``pipelines/stages/`` and in the plugin folders, and check that the stages fit.

    Args:
        plugins: Folders of further files; each ``.py`` in them is imported. They may declare stages or engines.

    Raises:
        StageError: Two writers of one file, a file nobody writes, a circle, or one option declared in two ways.
    """
    from pipelines import stages  # all of which import this module
    from pipelines.plugins import load_plugins

    for module in pkgutil.iter_modules(stages.__path__):
        importlib.import_module(f"{stages.__name__}.{module.name}")
    load_plugins(plugins)
    check(_registry)
    return dict(_registry)


def check(stages: Mapping[str, Stage]) -> None:
    """Raise StageError unless the stages fit together."""
    writers: dict[str, str] = {}
    for s in stages.values():
        for name in s.writes:
            if name in writers:
                raise StageError(f"{name} is written by both {writers[name]} and {s.name}")
            writers[name] = s.name
    for s in stages.values():
        for name in [*s.reads, *([s.each] if s.each else [])]:
            if name.rstrip("?") != SOURCE and not name.endswith("?") and name not in writers:
                raise StageError(f"stage {s.name} reads {name}, which no stage writes")
    options_model(stages)
    order(stages)


def order(stages: Mapping[str, Stage]) -> list[Stage]:
    """The stages so that each comes after the writers of what it reads; ties by name, so every process agrees.

    Raises:
        StageError: They read each other's files in a circle.
    """
    return list(_walk(stages))


def needs_of(one: Stage, stages: Mapping[str, Stage]) -> frozenset[str]:
    """Names of the stages whose files this one reads, among those given."""
    writers = {name: s.name for s in stages.values() for name in s.writes}
    names = [name.rstrip("?") for name in (*one.reads, *([one.each] if one.each else []))]
    return frozenset(writers[name] for name in names if name in writers)


def _walk(stages: Mapping[str, Stage]) -> Iterator[Stage]:
    waiting = dict(sorted(stages.items()))
    done: set[str] = set()
    while waiting:
        ready = [s for s in waiting.values() if needs_of(s, stages) <= done]
        if not ready:
            raise StageError(f"stages in a circle: {', '.join(waiting)}")
        # One at a time, so that a stage follows its writer as closely as it can.
        first = ready[0]
        del waiting[first.name]
        done.add(first.name)
        yield first


def plan(stages: Mapping[str, Stage], options: Mapping[str, Any]) -> list[Stage]:
    """The stages a job with these options runs, in order."""
    wanted = {name: s for name, s in stages.items() if s.wanted(options)}
    return order(wanted)


def options_model(stages: Mapping[str, Stage], name: str = "StageOptions") -> type[Options]:
    """All stages' options as one model, for the request schema.

    Raises:
        StageError: Two stages declare an option of the same name differently.
    """
    fields: dict[str, Any] = {}
    owner: dict[str, str] = {}
    for s in stages.values():
        for key, info in s.options.model_fields.items():
            if key in fields and repr(fields[key][1]) != repr(info):
                raise StageError(f"option {key} is declared differently by {owner[key]} and {s.name}")
            fields[key] = (info.annotation, info)
            owner.setdefault(key, s.name)
    from pydantic import create_model

    return create_model(name, __base__=Options, **fields)
