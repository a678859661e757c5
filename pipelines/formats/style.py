"""How subtitles are to look, and the part of a request that says so."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipelines.errors import OptionsError


class ContradictingOptions(OptionsError):
    """Options that are each allowed but not together. Passes through pydantic unchanged, unlike a ValueError."""


class Style(BaseModel):
    """The rules that cues keep. Widths are display columns: a Latin letter is 1, a Chinese character 2."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_line_width: int = Field(42, ge=10, le=200)
    max_lines: int = Field(2, ge=1, le=4)
    max_cps: float = Field(20, ge=5, le=100)
    """Columns per second that a viewer can read."""
    min_cue_seconds: float = Field(0.83, ge=0, le=10)
    max_cue_seconds: float = Field(7, ge=1, le=60)
    min_gap_seconds: float = Field(0.083, ge=0, le=1)
    """Between two cues, so that the eye sees the change: two frames of film."""
    close_gap_seconds: float = Field(0.5, ge=0, le=2)
    """A gap shorter than this would only flicker; the earlier cue stays until the next one."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.min_cue_seconds > self.max_cue_seconds:
            raise ContradictingOptions(
                f"min_cue_seconds ({self.min_cue_seconds:g}) is more than max_cue_seconds ({self.max_cue_seconds:g}); "
                "lower the one or raise the other."
            )
        return self


Preset = Literal["default", "netflix", "netflix-children", "bbc", "ted", "cjk", "vertical"]

PRESETS: dict[Preset, Style] = {
    "default": Style(),
    # Netflix timed text style guide, English: 5/6 s at least, two frames between cues.
    "netflix": Style(max_line_width=42, max_cps=20, min_cue_seconds=0.834, max_cue_seconds=7),
    "netflix-children": Style(max_line_width=42, max_cps=17, min_cue_seconds=0.834, max_cue_seconds=7),
    # BBC subtitle guidelines: 37 characters of teletext, 160 to 180 words a minute, no gap or a real one of a second.
    "bbc": Style(
        max_line_width=37, max_cps=15, min_cue_seconds=1, max_cue_seconds=7, min_gap_seconds=0, close_gap_seconds=1
    ),
    # TED translators' guidelines.
    "ted": Style(max_line_width=42, max_cps=21, min_cue_seconds=1, max_cue_seconds=7),
    # 16 full-width characters a line and 9 of them a second, as for Chinese; each counts two columns.
    "cjk": Style(max_line_width=32, max_cps=18, min_cue_seconds=0.834, max_cue_seconds=7),
    # A phone held upright: few words at a time, following the voice closely.
    "vertical": Style(max_line_width=22, max_cps=25, min_cue_seconds=0.5, max_cue_seconds=3),
}


def _blank_is_none(value: Any) -> Any:
    # An untouched form field sends an empty text.
    return None if isinstance(value, str) and not value.strip() else value


def _preset(value: Any) -> Any:
    return (value.strip().casefold().replace("_", "-") or "default") if isinstance(value, str) else value


_Blank = BeforeValidator(_blank_is_none)


class StyleOptions(BaseModel):
    """The fields of a request that choose a style; those not given come from the preset.

    Raises:
        pydantic.ValidationError: A value out of range or unknown.
        ContradictingOptions: Each value is allowed, but not together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_line_width: Annotated[int | None, _Blank] = Field(
        None, ge=10, le=200, description="Columns in a line of a subtitle (a CJK character is two); the preset's: 42."
    )
    max_lines: Annotated[int | None, _Blank] = Field(
        None, ge=1, le=4, description="Lines in a subtitle; the preset's: 2."
    )
    max_cps: Annotated[float | None, _Blank] = Field(
        None, ge=5, le=100, description="Columns per second a viewer can read; the preset's: 20."
    )
    min_cue_seconds: Annotated[float | None, _Blank] = Field(
        None, ge=0, le=10, description="Shortest time a subtitle stands, where there is room; the preset's: 0.83."
    )
    max_cue_seconds: Annotated[float | None, _Blank] = Field(
        None, ge=1, le=60, description="Longest time a subtitle stands; the preset's: 7."
    )
    subtitle_preset: Annotated[Preset, BeforeValidator(_preset)] = Field(
        "default", description="Named rules for subtitles; a field given beside it wins."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self.style()
        return self

    def style(self) -> Style:
        """The preset with the fields that were given put over it."""
        given = {
            k: v for k in StyleOptions.model_fields if k != "subtitle_preset" and (v := getattr(self, k)) is not None
        }
        usual = PRESETS[self.subtitle_preset].model_dump()
        # What was given wins over a preset that leaves no room for it.
        if (least := given.get("min_cue_seconds")) is not None:
            usual["max_cue_seconds"] = max(least, usual["max_cue_seconds"])
        if (most := given.get("max_cue_seconds")) is not None:
            usual["min_cue_seconds"] = min(most, usual["min_cue_seconds"])
        return Style(**{**usual, **given})
