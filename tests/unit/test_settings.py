"""Settings: what they accept, what they refuse, and that the example file tells the truth."""

import ssl
from pathlib import Path

import pytest
import redis
from pydantic import ValidationError

from config.settings import Settings, env_example
from tasks.app import make_app

ROOT = Path(__file__).resolve().parents[2]


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type,call-arg]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_example_file_is_made_from_the_settings() -> None:
    assert (ROOT / ".env.example").read_text() == env_example()


def test_every_setting_is_documented() -> None:
    assert [name for name, info in Settings.model_fields.items() if not info.description] == []


def test_lists_and_aliases_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "small, large-v3 ,")
    monkeypatch.setenv("WHISPER_ALIASES", "fast=small,house=/models/house")
    found = settings()
    assert found.whisper_models == ["small", "large-v3"]
    assert found.whisper_aliases == {"fast": "small", "house": "/models/house"}
    monkeypatch.setenv("WHISPER_ALIASES", '{"fast": "tiny"}')
    assert settings().whisper_aliases == {"fast": "tiny"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"whisper_models": ""}, "at least one model"),
        ({"lease_renewal_seconds": 15}, "half of VISIBILITY_TIMEOUT_SECONDS"),
        ({"ffmpeg_timeout_seconds": 99999}, "FFMPEG_TIMEOUT_SECONDS"),
        ({"storage_url": "s3://bucket"}, "PostgreSQL"),
        ({"storage_url": "bucket/prefix"}, "file:///folder or s3://bucket/prefix"),
        ({"storage_url": "s3://key:secret@bucket"}, "settings of their own"),
        ({"storage_url": "s3:///prefix"}, "s3://bucket/prefix"),
        ({"storage_url": "file://host/folder"}, "whole path"),
        ({"redis_url": "amqp://host"}, "REDIS_URL"),
        ({"max_audio_hours": 0}, "greater than 0"),
        ({"whisper_aliases": "small"}, "name=model"),
        ({"api_key": "short"}, "at least 8"),
        ({"webhook_secret": "a-secret-that-is-long-enough-but-no-key"}, "whsec_"),
        ({"webhook_secret": "whsec_dG9vIHNob3J0"}, "24 to 64 bytes"),
        ({"webhook_secret": "whsec_" + "!" * 44}, "openssl"),
        *[({"metrics_api_url": url}, "http://host:port") for url in ("web:8081", "http://u:p@web", "http://web:port")],
    ],
)
def test_what_does_not_fit_is_refused_at_start(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        settings(**values)


@pytest.mark.parametrize("padding", ["", "="])
def test_a_webhook_secret_may_leave_out_its_padding(padding: str) -> None:
    assert settings(webhook_secret="whsec_" + "QUJD" * 10 + "QUI" + padding).webhook_secret is not None


def test_the_network_is_not_served_without_a_key() -> None:
    with pytest.raises(ValueError, match="API_KEY is not set"):
        settings(bind_host="0.0.0.0").check_bind()
    with pytest.raises(ValueError, match="API_KEY is not set"):
        settings(bind_host="example.org").check_bind()
    for host in ("127.0.0.1", "localhost", "::1", "127.1.2.3"):
        settings(bind_host=host).check_bind()
    settings(bind_host="0.0.0.0", api_key="long-enough-key").check_bind()


def test_a_request_may_use_the_models_that_were_allowed() -> None:
    some = settings(
        whisper_models="small,tiny", whisper_aliases="fast=tiny,house=/models/house", allowed_models="medium"
    )
    assert some.model_for(None) == "small"
    assert some.model_for("fast") == "tiny"
    assert some.model_for("house") == "/models/house"
    assert some.model_for("medium") == "medium"
    assert some.model_for("large-v3") is None
    assert some.model_for("/models/house") is None


def test_names_of_openai_mean_the_default_everywhere() -> None:
    some = settings(whisper_models="fast,tiny", whisper_aliases="fast=small,gpt-4o-transcribe=tiny")
    for name in ("whisper-1", "gpt-transcribe", "gpt-4o-mini-transcribe-2025-12-15", "gpt-99", None):
        assert some.model_for(name) == "small"
    assert some.model_for("gpt-4o-transcribe") == "tiny", "what the operator named is what it is"
    assert some.model_for("small") == "small", "an alias allows what it means"
    for name in ("whisper-2", "gpt-omni/whisper", "openai/whisper-small", "medium"):
        assert some.model_for(name) is None


def test_a_star_opens_the_hub_and_never_the_file_system() -> None:
    some = settings(allowed_models="*")
    assert some.model_for("large-v3") == "large-v3"
    assert some.model_for("org/name") == "org/name"
    for path in ("/etc", "./models", "~/models", "a/../../etc", "..\\etc"):
        assert some.model_for(path) is None


def test_redis_on_a_socket_is_spelt_as_celery_wants_it() -> None:
    assert settings(redis_url="unix:///run/r.sock?db=3").broker == "redis+socket:///run/r.sock?virtual_host=3"
    assert settings(redis_url="redis://host:1/2").broker == "redis://host:1/2"
    assert settings(redis_url="redis://u:p@host?db=3&socket_timeout=9").broker == "redis://u:p@host/3"


@pytest.mark.parametrize(
    ("url", "looks"),
    [
        ("rediss://:word@host:1/2", ssl.CERT_REQUIRED),
        ("rediss://host?socket_timeout=3", ssl.CERT_REQUIRED),
        ("rediss://host/0?ssl_cert_reqs=none", ssl.CERT_NONE),
    ],
)
def test_certificates_of_redis_are_looked_at_unless_somebody_says_no(url: str, looks: ssl.VerifyMode) -> None:
    with make_app(settings(redis_url=url), {}).connection() as connection:
        assert connection.ssl["ssl_cert_reqs"] == looks
    assert redis.Redis.from_url(url).connection_pool.make_connection().cert_reqs == looks
