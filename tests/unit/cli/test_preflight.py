import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.preflight import Refused, address, check_ports, gpus, missing_models, port_trouble, writable_cache
from config.settings import Settings
from tests.unit.cli.conftest import ScriptedServer


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        found.listen()
        yield found


def test_a_port_that_is_taken_is_told_with_whoever_it_is(server: ScriptedServer) -> None:
    port = int(server.url.rpartition(":")[2])
    server.says(200, {"live": True}, X_Request_ID="1")
    server.says(200, b"", Server="TornadoServer/6")
    server.says(404, b"")
    said = [port_trouble("127.0.0.1", port) for _ in range(3)]
    assert [sentence.partition("by ")[2] for sentence in said if sentence] == [
        "another Longhand",
        "a Flower",
        "another web server",
    ]
    with pytest.raises(Refused, match="--flower-port"):
        check_ports(Settings(bind_port=free_port(), flower_port=port))
    with pytest.raises(Refused, match="--port"):
        check_ports(Settings(bind_port=port, flower_port=free_port()))


def test_ports_that_cannot_be_used(listener: socket.socket) -> None:
    assert port_trouble("127.0.0.1", free_port()) is None
    assert "another program" in (port_trouble("127.0.0.1", listener.getsockname()[1]) or "")
    assert "--host" in (port_trouble("192.0.2.1", 9999) or "")
    assert "--host" in (port_trouble("no-such-host.invalid", 9999) or "")
    with pytest.raises(Refused, match="both"):
        check_ports(Settings(bind_port=9999, flower_port=9999))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
        ("name", "http://name:80"),
    ],
)
def test_how_this_machine_reaches_a_server(host: str, expected: str) -> None:
    assert address(host, 80) == expected


def test_models_that_have_to_be_fetched(tmp_path: Path) -> None:
    chosen = Settings(whisper_models=["demo", "fast"], whisper_aliases={"fast": "tiny"}, model_cache=tmp_path)
    assert missing_models(chosen) == ["tiny"]
    with pytest.raises(Refused, match="no-such"):
        missing_models(Settings(whisper_models=["./no-such"]))


def test_models_go_to_the_data_folder_where_there_is_no_home(tmp_path: Path) -> None:
    assert writable_cache({"HOME": str(tmp_path)}, Path("/data")) is None
    assert writable_cache({"HOME": str(tmp_path / "not" / "yet")}, Path("/data")) is None
    assert writable_cache({"HF_HOME": "/x"}, Path("/data")) is None
    assert writable_cache({"HOME": "/proc/1/nobody"}, Path("/data")) == Path("/data/models")


def test_gpus_that_may_be_used() -> None:
    assert gpus({"CUDA_VISIBLE_DEVICES": "1, GPU-8c"}) == ["1", "GPU-8c"]
    assert gpus({"CUDA_VISIBLE_DEVICES": ""}) == gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == []
