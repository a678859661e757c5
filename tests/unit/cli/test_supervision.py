import io
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import UnhosedConfigParser

from cli.stack import Program, programs
from cli.supervision import configuration, quoted, tail
from config.settings import Settings

WORDS = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs", "Cc", "Zl", "Zp"]))


def read_back(command: str) -> list[str]:
    """As supervisord does: configuration file, expansion, shell words."""
    parser = UnhosedConfigParser()
    parser.read_file(io.StringIO(f"[program:x]\ncommand={command}\n"))
    return shlex.split(parser.saneget("program:x", "command", expansions={}))


@given(st.lists(WORDS, max_size=4))
def test_a_command_comes_back_word_for_word(arguments: list[str]) -> None:
    assert read_back(quoted(["python", *arguments, "end"])) == ["python", *arguments, "end"]


@pytest.mark.parametrize("path", ["/a b/c", "/a ;b", "/a #b", "/100%/x", '/it\'s "it"', "/back\\slash", "cpu@%h", "/ü"])
def test_paths_that_mean_something_to_the_configuration_file(path: str) -> None:
    assert read_back(quoted([path])) == [path]


def test_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        quoted(["/a\nautostart=true"])


def test_redis_starts_first_and_stops_last_and_everything_is_restarted() -> None:
    redis = Program("redis", ("redis-server", "redis.conf"))
    work = [Program("web", ("gunicorn",), stop_signal="QUIT"), Program("gpu1", ("celery",), variables={"A": "1"})]
    parser = UnhosedConfigParser()
    parser.read_file(io.StringIO(configuration(work, socket=Path("/s/supervisor.sock"), redis=redis)))
    first, last = parser["program:redis"], parser["group:longhand"]
    assert int(first["priority"]) < int(last["priority"])
    assert (first["autostart"], parser["program:web"]["autostart"]) == ("true", "false")
    assert last["programs"] == "web,gpu1"
    for name in ("redis", "web", "gpu1"):
        section = parser[f"program:{name}"]
        assert section["autorestart"] == "true"
        assert int(section["startretries"]) > 10_000
        assert section["killasgroup"] == "true"
    assert parser["program:web"]["stopsignal"] == "QUIT"
    assert "SIGQUIT" in parser["program:web"]["command"]
    assert parser["program:gpu1"]["environment"] == 'A="1"'


def test_no_secret_stands_on_a_command_line(tmp_path: Path) -> None:
    settings = Settings(api_key="the-secret-key", flower_password="the-password", data_dir=tmp_path)
    found = programs(settings, cpu_workers=2, gpu_workers=2, gpus=[])
    line = " ".join(word for program in found for word in program.command)
    assert "the-secret-key" not in line
    assert "the-password" not in line


def test_each_gpu_has_its_own_worker(tmp_path: Path) -> None:
    found = programs(Settings(data_dir=tmp_path), cpu_workers=3, gpu_workers=4, gpus=["0", "2"])
    seen = {p.name: p.variables.get("CUDA_VISIBLE_DEVICES") for p in found if p.name.startswith("gpu")}
    assert seen == {"gpu1": "0", "gpu2": "2", "gpu3": "0", "gpu4": "2"}
    assert [p.name for p in found if not p.name.startswith("gpu")] == ["web", "cpu", "net", "beat", "flower"]


def test_the_end_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff" + b"x" * 100_000 + b"\n" + b"".join(b"%d\n" % n for n in range(100)))
    assert tail(tmp_path / "log", lines=3) == "97\n98\n99"
    assert tail(tmp_path / "none") == ""
