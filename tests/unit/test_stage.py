"""How stages are declared, ordered and checked."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import Field

from pipelines.stage import Options, Stage, StageError, check, discover, options_model, order, plan, stage


class Empty(Options):
    pass


class Length(Options):
    length: int = Field(1, ge=0)


class OtherLength(Options):
    length: int = Field(2, ge=0)


def made(
    name: str,
    reads: Sequence[str],
    writes: Sequence[str],
    *,
    options: type[Options] = Empty,
    each: str | None = None,
    when: Any = None,
) -> Stage:
    return Stage(
        name=name, function=lambda *_: None, options=options, queue="cpu", reads=tuple(reads), writes=tuple(writes),
        each=each, when=when or (lambda _: True), weight=1.0,
    )  # fmt: skip


def stages(*all_: Stage) -> dict[str, Stage]:
    return {s.name: s for s in all_}


def test_the_order_follows_from_what_is_read_and_written() -> None:
    found = order(stages(made("a", ["y"], ["z"]), made("b", ["x"], ["y"]), made("c", ["source"], ["x"])))
    assert [s.name for s in found] == ["c", "b", "a"]


def test_a_circle_is_refused() -> None:
    with pytest.raises(StageError, match="circle"):
        check(stages(made("a", ["y"], ["x"]), made("b", ["x"], ["y"])))


def test_a_file_has_one_writer() -> None:
    with pytest.raises(StageError, match="written by both"):
        check(stages(made("a", ["source"], ["x"]), made("b", ["source"], ["x"])))


def test_a_file_nobody_writes_is_refused_unless_it_is_optional() -> None:
    with pytest.raises(StageError, match="which no stage writes"):
        check(stages(made("a", ["nothing.json"], ["x"])))
    check(stages(made("a", ["source", "nothing.json?"], ["x"])))


def test_one_option_is_declared_in_one_way() -> None:
    with pytest.raises(StageError, match="declared differently"):
        check(stages(made("a", ["source"], ["x"], options=Length), made("b", ["x"], ["y"], options=OtherLength)))
    model = options_model(stages(made("a", ["source"], ["x"], options=Length), made("b", ["x"], ["y"], options=Length)))
    assert list(model.model_fields) == ["length"]


def test_a_stage_that_is_not_wanted_is_not_planned_and_nobody_waits_for_it() -> None:
    all_ = stages(
        made("a", ["source"], ["x"]),
        made("b", ["x"], ["y"], options=Length, when=lambda o: o.length > 1),
        made("c", ["x", "y?"], ["z"]),
    )
    assert [s.name for s in plan(all_, {"length": 1})] == ["a", "c"]
    assert [s.name for s in plan(all_, {"length": 2})] == ["a", "b", "c"]


def test_a_tool_that_nobody_provides_is_refused() -> None:
    with pytest.raises(StageError, match="nobody provides"):

        @stage(queue="cpu", reads=["source"], writes=["x"])
        def thirsty(files: Any, options: Empty, progress: Any, *, coffee: Any) -> None:
            """Want coffee."""


def test_our_own_stages_fit_and_make_the_pipeline() -> None:
    names = [s.name for s in plan(discover(), {})]
    assert names == ["normalise", "chunk", "detect_language", "transcribe", "merge", "export"]
    assert "detect_language" not in [s.name for s in plan(discover(), {"language": "en"})]
