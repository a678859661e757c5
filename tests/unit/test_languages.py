import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES
from pydantic import ValidationError

from pipelines.languages import LANGUAGES, between_sentences, normalise
from pipelines.options import LanguageCode, LanguageCodes, ModelName, Task
from pipelines.stage import Options, Stage, options_model


class Both(Options):
    model: ModelName = None
    language: LanguageCode = None
    languages: LanguageCodes = None
    task: Task = "transcribe"


class One(Options):
    model: ModelName = None
    task: Task = "transcribe"


def stage(name: str, options: type[Options]) -> Stage:
    return Stage(name, print, options, "cpu", (), (), None, lambda _: True, 1.0)


def test_the_table_is_whispers() -> None:
    assert set(LANGUAGES) == set(_LANGUAGE_CODES)


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_every_language_goes_by_its_code_and_its_name(code: str) -> None:
    name = LANGUAGES[code]
    assert {normalise(spelt) for spelt in (code, code.upper(), name, name.title(), f" {name} ")} == {code}


@pytest.mark.parametrize(
    ("given", "code"),
    [("pt-BR", "pt"), ("zh_Hant", "zh"), ("EN-us", "en"), ("nb", "no"), ("jv", "jw"), ("Mandarin", "zh"), ("iw", "he")],
)
def test_what_people_write_instead(given: str, code: str) -> None:
    assert normalise(given) == code


@pytest.mark.parametrize("given", ["", "xx", "klingon", "e", "english please", "-"])
def test_an_unknown_language_is_named(given: str) -> None:
    with pytest.raises(ValueError, match="not a language Whisper knows"):
        normalise(given)


def test_sentences_are_joined_as_the_language_does() -> None:
    assert [between_sentences(code) for code in ("en", "ja", "zh", "yue", "ko", "th", None)] == [
        " ", "", "", "", " ", " ", " ",
    ]  # fmt: skip


def test_shared_options_survive_being_put_together() -> None:
    model = options_model({"a": stage("a", Both), "b": stage("b", One)})
    made = model.model_validate(
        {"language": "German", "languages": "en, de,en", "model": " small ", "task": "translate"}
    )
    assert made.model_dump() == {"language": "de", "languages": ["en", "de"], "model": "small", "task": "translate"}
    assert model.model_validate({"languages": ["en", "fr,Dutch"]}).model_dump()["languages"] == ["en", "fr", "nl"]


@pytest.mark.parametrize("empty", ["", " ", None, "auto"])
def test_nothing_given_means_find_out(empty: str | None) -> None:
    made = Both.model_validate({"language": empty, "languages": empty, "model": None if empty == "auto" else empty})
    assert (made.model, made.language, made.languages) == (None, None, None)


@pytest.mark.parametrize(
    "wrong",
    [{"language": "klingon"}, {"languages": "en,xx"}, {"languages": [3]}, {"model": "x" * 201}, {"task": "sing"}],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Both.model_validate(wrong)
