"""What docs/operate.md tells people to type is what `longhand up` runs."""

import re
from pathlib import Path

from celery import states

from cli.stack import SILENT, programs
from config.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "operate.md").read_text("utf-8")


def test_the_commands_are_those_of_the_stack(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, redis_url="redis://127.0.0.1:6379/0")
    for program in programs(settings, cpu_workers=2, gpu_workers=1, gpus=[]):
        typed = " ".join(program.arguments[1:]).replace(f"{ROOT}/", "")
        assert f".venv/bin/python {typed}\n" in TEXT, typed
    assert all(f"{name}={value}" in TEXT for name, value in SILENT.items())


def test_every_setting_it_names_is_one() -> None:
    known = {name.upper() for name in Settings.model_fields} | {"DATA_DIR", *SILENT}
    foreign = {"PYTHONUNBUFFERED", "CUDA_VISIBLE_DEVICES", "OTEL_SERVICE_NAME", "TERM", "QUIT", "SIGTERM", "DEBUG"}
    foreign |= {"HTTPS_PROXY", "NO_PROXY"}
    foreign |= states.ALL_STATES
    foreign |= set(re.findall(r"\$\{([A-Z_]+):-", (ROOT / "docker-compose.yml").read_text("utf-8")))
    foreign |= set(re.findall(r'envvar="(LONGHAND_[A-Z]+)"', (ROOT / "cli" / "connection.py").read_text("utf-8")))
    named = {name for name in re.findall(r"`([A-Z][A-Z_]{3,})(?:[=`])", TEXT) if not name.startswith("AWS_")}
    assert named - known - foreign == set()
