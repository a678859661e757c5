"""Every knob of Longhand, read from the environment (or a ``.env`` file) once by each entry point.

``.env.example`` is made from this file: ``python -m config.settings > .env.example``.
"""

import ipaddress
import json
import sys
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from config.env_example import example
from config.models import known_names, meaning
from config.origins import ANY, origins
from config.redis_address import celery_address
from config.secret_files import SecretFiles, placeholder
from config.storage import largest, storage_address
from config.tracing import lacks
from config.values import Rates, SigningSecret, WebAddress

Names = Annotated[list[str], NoDecode]
Paths = Annotated[list[Path], NoDecode]
Aliases = Annotated[dict[str, str], NoDecode]
Origins = Annotated[list[str], NoDecode, AfterValidator(origins)]
Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())]


class Settings(BaseSettings):
    """What an operator chose. Fields are environment variables of the same name in capitals."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        env_ignore_empty=True,
        # A wrong value may be a secret in the wrong place: errors name the setting, not what it was set to.
        hide_input_in_errors=True,
    )

    # Models
    whisper_models: Names = ["small"]
    """Models to load at start, comma separated; the first is the default. A model is a size name (tiny … large-v3-turbo), a hub id (org/name), an alias, a local folder, or demo."""  # noqa: E501
    allowed_models: Names = []
    """Further models a request may ask for; they are loaded on demand. `*` allows every size name and hub id, never a folder."""  # noqa: E501
    whisper_aliases: Aliases = {}
    """Other names for models: `fast=small,best=large-v3` or a JSON object. An alias may point to a local folder."""
    whisper_device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; auto takes a GPU if there is one."""
    whisper_compute_type: str = "default"
    """CTranslate2 compute type; default means float16 on a GPU and int8 on a CPU."""
    whisper_beam_size: int = Field(5, ge=1, le=20)
    """Beam size when a request does not say."""
    whisper_vad_filter: bool = True
    """Whether silence is left out when a request does not say."""
    whisper_language: str | None = Field(None, max_length=20)
    """Language when a request does not say; unset: detected per recording."""
    whisper_batch_size: int = Field(8, ge=1, le=128)
    """Windows of 30 s decoded at once; halved by itself when memory runs out."""
    whisper_cpu_threads: int = Field(0, ge=0, le=256)
    """Threads of one model on a CPU; 0: all cores."""
    whisper_keep_models: int = Field(2, ge=1, le=50)
    """Models kept in the memory of one worker; the least recently used goes first."""
    whisper_engine: str = "faster-whisper"
    """The engine that runs models; plugins may add others."""
    diarisation: Literal["auto", "on", "off"] = "auto"
    """Whether requests may have speakers told apart; auto: once a worker has served the queue diarise. See docs/diarisation.md."""  # noqa: E501
    diarisation_model: str = Field("pyannote/speaker-diarization-community-1", min_length=1)
    """The model that tells speakers apart: a hub id, a local folder with a pyannote.audio pipeline, or demo. Its files are programs: take them from people you trust."""  # noqa: E501
    diarisation_engine: str = "pyannote"
    """The engine that tells speakers apart; plugins may add others."""
    hf_token: SecretStr | None = None
    """Token of the Hugging Face hub, for models that are given out on request only, such as the default of DIARISATION_MODEL; wanted for the first download only."""  # noqa: E501
    model_cache: Path | None = None
    """Folder for downloaded models; unset: the Hugging Face cache (HF_HOME)."""

    # Access
    api_key: SecretStr | None = Field(None, min_length=8)
    """The first, administrating key. Without one the server answers on loopback only."""
    rate_limit: Rates | None = None
    """Requests that each key may make when it has no figure of its own, such as 600/minute; unset: no limit."""
    webhook_secret: SigningSecret | None = None
    """Signs the webhooks of jobs made with API_KEY: whsec_ and base64 of 24 to 64 bytes. Other keys have their own."""
    allow_private_urls: bool = False
    """Whether recordings may be fetched from, and webhooks sent to, addresses that are not public; for closed networks."""  # noqa: E501
    bind_host: str = "127.0.0.1"
    """Address the API listens on."""
    bind_port: int = Field(8081, ge=1, le=65535)
    """Port the API listens on."""
    flower_port: int = Field(5555, ge=1, le=65535)
    """Port of Flower, on the same address as the API's only if FLOWER_HOST says so."""
    flower_host: str = "127.0.0.1"
    """Address Flower listens on."""
    flower_user: str = Field("longhand", min_length=1)
    """User name for Flower."""
    flower_password: SecretStr | None = Field(None, min_length=8)
    """Password for Flower; Flower does not start without one."""
    public_url: str | None = None
    """Address that links in answers begin with, behind a proxy; unset: taken from the request."""
    trusted_proxies: int = Field(0, ge=0, le=10)
    """Proxies in front, one behind the other, whose X-Forwarded-For and X-Forwarded-Proto are believed; see docs/proxy.md."""  # noqa: E501
    cors_origins: Origins = []
    """Origins of web pages elsewhere that may use the API from browsers, such as https://app.example.org, comma separated; `*`: any page, which needs an API_KEY."""  # noqa: E501

    # Where things are kept
    data_dir: Folder = Path("data")
    """Folder for everything that is kept unless the next three say otherwise, and for scratch files."""
    database_url: str | None = None
    """Address (SQLAlchemy) of the record; unset: SQLite in DATA_DIR."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Redis: broker, progress and events. redis://, rediss:// or unix:///path/to.sock."""
    broker_url: str | None = None
    """Another broker than Redis: RabbitMQ, amqp://user:password@host:5672/vhost (several of one cluster with ; between them) or amqps://. Unset: REDIS_URL, which is needed in any case. See docs/operate.md."""  # noqa: E501
    storage_url: Annotated[str | None, AfterValidator(storage_address)] = None
    """Where recordings and results are kept, file:// or s3://bucket/prefix; unset: DATA_DIR/jobs."""
    s3_sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    """How S3 is asked to encrypt files; unset: as the bucket does by itself."""
    s3_kms_key_id: str | None = Field(None, max_length=2048)
    """The key of AWS KMS that S3 encrypts files with; unset: the account's own for S3. With it S3_SSE is aws:kms unless set."""  # noqa: E501
    retention_days: float = Field(30, ge=0)
    """Days after its end that a job, its recording and its results are kept; 0: for ever."""

    # Limits
    max_upload_mb: int = Field(2048, ge=1)
    """Largest upload in MB (1 MB = 1,048,576 bytes); on S3 80,000 at most."""
    max_audio_hours: float = Field(12, gt=0, le=36)
    """Longest recording in hours."""
    sync_timeout_seconds: float = Field(300, ge=1, le=3600)
    """Longest time a request may wait for a job."""
    ffmpeg_timeout_seconds: float = Field(3600, ge=1)
    """Longest run of ffmpeg over one recording."""
    fetch_timeout_seconds: float = Field(3600, ge=1)
    """Longest time to fetch one recording from its address."""
    upload_hours: float = Field(24, gt=0, le=24 * 30)
    """Hours that a resumable upload is kept without a job."""
    max_pending_upload_gb: float = Field(50, gt=0, allow_inf_nan=False)
    """Resumable uploads of one account that are not finished may have so many GB (1 GB = 1,073,741,824 bytes) together; one upload of MAX_UPLOAD_MB is always possible."""  # noqa: E501
    task_timeout_seconds: float = Field(4 * 3600, ge=10)
    """Longest run of one task; the worker's child is killed a minute later."""
    max_attempts: int = Field(4, ge=1, le=20)
    """How often one piece of work is started before its job fails."""
    max_queued_jobs: int = Field(10_000, ge=0)
    """Jobs that may be queued at the same time; further ones are refused with 503 until some have begun. Accounts that have less than their fair part of these queued (as many for each that has any) may go on, up to twice as many in all, so that no account shuts out the others. 0: no limit."""  # noqa: E501
    account_jobs: int = Field(0, ge=0)
    """Jobs of one account and priority that may be under way at the same time, the others wait their turn; 0: as fits the workers, which is twice as many as they have processes, and at least 4."""  # noqa: E501

    # Workers
    web_workers: int = Field(1, ge=1, le=64)
    """Processes of the API."""
    web_threads: int = Field(1000, ge=2, le=4000)
    """Threads of each API process, made when they are needed. Three quarters of them may wait for jobs or follow them at the same time."""  # noqa: E501
    visibility_timeout_seconds: float = Field(20, ge=2)
    """After this long without a sign of life a worker's task is given to another. The machines' clocks must agree far better than this."""  # noqa: E501
    lease_renewal_seconds: float = Field(5, ge=0.2)
    """How often a live worker gives signs of life, to the queue and to the record."""
    upkeep_seconds: float = Field(30, ge=1)
    """How often beat looks for jobs that stand still and deletes what has expired."""
    net_threads: int = Field(32, ge=2, le=500)
    """Recordings that `longhand up` fetches from their addresses, and webhooks that it sends, at the same time; webhooks, and the recordings of one account, take half of it each at most."""  # noqa: E501
    queue_wait_target_seconds: float = Field(60, gt=0)
    """Longest time that work should wait for a worker; what /metrics and alerts compare the queues with."""
    plugins: Paths = []
    """Folders of further stages and engines, comma separated."""

    alive_file: str | None = None
    """A file that a worker touches every few seconds while Redis takes its signs of life; for health checks of containers."""  # noqa: E501

    # Telling
    metrics_api_url: WebAddress = None
    """Where the API is, for a process that tells the figures apart from it (the Helm chart starts one): /metrics then says whether it answers, as longhand_up{part="api"}, and nothing of the room for DATA_DIR, which is its own. Unset: whoever tells the figures is the API."""  # noqa: E501
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least important message that is logged."""
    log_format: Literal["text", "json"] = "text"
    """text for people, json for machines (one object a line)."""
    enable_tracing: bool = False
    """Whether a trace of each job is sent over OTLP, to where OTEL_EXPORTER_OTLP_ENDPOINT says; see docs/operate.md."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Given, environment, ``.env``, and the files of secrets that the last two name."""
        env, dotenv = named["env_settings"], named["dotenv_settings"]
        return named["init_settings"], SecretFiles(settings_cls, env, dotenv), env, dotenv

    @field_validator("whisper_models", "allowed_models", "plugins", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("whisper_aliases", mode="before")
    @classmethod
    def _aliases(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("{"):
            return json.loads(value)
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not sep or not name.strip() or not target.strip() for name, sep, target in pairs):
            raise ValueError("write aliases as name=model,name=model or as a JSON object")
        return {name.strip(): target.strip() for name, _, target in pairs}

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if (name := placeholder(vars(self))) is not None:
            raise ValueError(f"{name} is still a placeholder: make one of your own, as `openssl rand -hex 24` does")
        if not self.whisper_models:
            raise ValueError("WHISPER_MODELS must name at least one model")
        if ANY in self.cors_origins and self.api_key is None:
            raise ValueError("CORS_ORIGINS=* without an API_KEY would let every web page in: set API_KEY, or name them")
        if self.lease_renewal_seconds * 2 > self.visibility_timeout_seconds:
            raise ValueError("LEASE_RENEWAL_SECONDS must be at most half of VISIBILITY_TIMEOUT_SECONDS")
        if self.ffmpeg_timeout_seconds > self.task_timeout_seconds:
            raise ValueError("FFMPEG_TIMEOUT_SECONDS must not be longer than TASK_TIMEOUT_SECONDS")
        if self.database.startswith("sqlite") and not self.storage.startswith("file:"):
            raise ValueError("STORAGE_URL on another machine needs a DATABASE_URL of PostgreSQL, not SQLite")
        if self.redis_url.split(":")[0] not in {"redis", "rediss", "unix"}:
            raise ValueError("REDIS_URL must begin with redis://, rediss:// or unix://")
        if self.broker_url is not None:
            schemes = [url.partition("://")[0] for url in self.broker_url.split(";")]
            # The library would hold the certificates of all servers against the name of the first.
            if set(schemes) != {"amqp"} and schemes != ["amqps"]:
                raise ValueError("BROKER_URL must begin with amqp:// or amqps://; without it REDIS_URL serves")
        if self.enable_tracing and (why_not := lacks()) is not None:
            raise ValueError(why_not)
        return self

    def check_bind(self) -> None:
        """Refuse to serve the network without a key.

        Raises:
            ValueError: The bind address is not loopback and no API_KEY is set.
        """
        if self.api_key is None and not is_loopback(self.bind_host):
            raise ValueError(
                f"API_KEY is not set, so the API may listen on loopback only, not on {self.bind_host}: set API_KEY."
            )

    @property
    def database(self) -> str:
        """Address (SQLAlchemy) of the record."""
        return self.database_url or f"sqlite:///{self.data_dir / 'longhand.db'}"

    @property
    def storage(self) -> str:
        """Address (fsspec) under which every job has a folder."""
        return (self.storage_url or (self.data_dir / "jobs").as_uri()).rstrip("/")

    @property
    def scratch(self) -> Path:
        """Folder for files of work that is going on."""
        return self.data_dir / "scratch"

    @property
    def broker(self) -> str:
        """The address of the broker as Celery spells it."""
        return self.broker_url if self.broker_url is not None else celery_address(self.redis_url)

    @property
    def max_upload_bytes(self) -> int:
        """Largest upload in bytes."""
        return largest(self.storage, self.max_upload_mb * 1024 * 1024)

    @property
    def max_pending_upload_bytes(self) -> int:
        """What unfinished resumable uploads of one account may come to, in bytes."""
        return int(self.max_pending_upload_gb * (1 << 30))

    @cached_property
    def model_names(self) -> list[str]:
        """The names a request may use that are known by name, the default first."""
        return known_names(self.whisper_models, self.whisper_aliases, self.allowed_models)

    def model_for(self, name: str | None) -> str | None:
        """The model a request means: its own or the default, after aliases; None if it may not be used."""
        return meaning(name, self.whisper_models, self.whisper_aliases, self.allowed_models)


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine only."""
    if host in {"localhost", ""}:
        return host == "localhost"
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def env_example() -> str:
    """The text of ``.env.example``."""
    return example(Settings.model_fields)


if __name__ == "__main__":
    sys.stdout.write(env_example())
