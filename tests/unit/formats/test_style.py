"""Presets, the fields over them, and what contradicts what."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from pipelines.errors import OptionsError
from pipelines.formats.style import PRESETS, ContradictingOptions, Preset, Style, StyleOptions


def test_the_defaults_are_those_of_the_interface() -> None:
    style = StyleOptions().style()
    assert style == PRESETS["default"]
    assert (style.max_line_width, style.max_lines, style.max_cps) == (42, 2, 20)
    assert (style.min_cue_seconds, style.max_cue_seconds) == (0.83, 7)


def test_every_preset_is_offered() -> None:
    assert set(PRESETS) == set(get_args(Preset))


def test_a_field_wins_over_the_preset_and_the_rest_stays() -> None:
    style = StyleOptions(subtitle_preset="bbc", max_line_width=30).style()
    assert style == PRESETS["bbc"].model_copy(update={"max_line_width": 30})


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_may_have_any_one_field_given_as_it_is(name: str) -> None:
    for field in ("max_line_width", "max_lines", "max_cps", "min_cue_seconds", "max_cue_seconds"):
        options = StyleOptions.model_validate({"subtitle_preset": name, field: getattr(PRESETS[name], field)})  # type: ignore[index]
        assert options.style() == PRESETS[name]  # type: ignore[index]


def test_form_fields_come_as_text_and_may_be_empty() -> None:
    options = StyleOptions.model_validate(
        {"max_line_width": "37", "max_cps": "17.5", "max_lines": "", "subtitle_preset": " BBC "}
    )
    assert (options.style().max_line_width, options.style().max_cps, options.style().max_lines) == (37, 17.5, 2)
    assert options.subtitle_preset == "bbc"


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_line_width": 9},
        {"max_line_width": 201},
        {"max_line_width": "wide"},
        {"max_lines": 0},
        {"max_lines": 5},
        {"max_cps": 4.9},
        {"max_cps": "inf"},
        {"min_cue_seconds": -1},
        {"min_cue_seconds": "nan"},
        {"max_cue_seconds": 0.5},
        {"subtitle_preset": "loud"},
        {"max_width": 42},
    ],
)
def test_what_is_out_of_range_is_a_validation_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        StyleOptions.model_validate(wrong)
    assert caught.value.errors()[0]["loc"] == tuple(wrong)


@pytest.mark.parametrize(
    "fields",
    [
        {"min_cue_seconds": 5, "max_cue_seconds": 2},
        {"min_cue_seconds": 5, "max_cue_seconds": 2, "subtitle_preset": "vertical"},
    ],
)
def test_what_contradicts_each_other_is_told_apart(fields: dict[str, Any]) -> None:
    with pytest.raises(ContradictingOptions, match=r"min_cue_seconds \(5\) is more than max_cue_seconds") as caught:
        StyleOptions.model_validate(fields)
    assert isinstance(caught.value, OptionsError)
    assert caught.value.code == "invalid_option"


def test_a_style_that_contradicts_itself_cannot_be_made() -> None:
    with pytest.raises(ContradictingOptions):
        Style(min_cue_seconds=8)


def test_a_field_wins_over_a_preset_that_leaves_no_room_for_it() -> None:
    assert StyleOptions(min_cue_seconds=5, subtitle_preset="vertical").style().max_cue_seconds == 5
    assert StyleOptions(min_cue_seconds=2, subtitle_preset="vertical").style().max_cue_seconds == 3
    assert StyleOptions(max_cue_seconds=1, subtitle_preset="bbc").style().min_cue_seconds == 1
