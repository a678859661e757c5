"""The guard: spellings, resolved addresses, and that a connection goes to what was checked."""

import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipelines.web.addresses import AddressRefused, HostNotFound, check, client, is_public, resolve, shown

GOOD = {
    "http://example.org": "http://example.org/",
    "HTTPS://Example.ORG:443/Talk.mp3?a=B#there": "https://example.org/Talk.mp3?a=B",
    " https://example.org/a%20b \n": "https://example.org/a%20b",
    "https://example.org.:8443?x=1": "https://example.org:8443/?x=1",
    "https://bücher.example/ü": "https://xn--bcher-kva.example/ü",
    "https://straße.de/": "https://xn--strae-oqa.de/",
    "https://ｅｘａｍｐｌｅ。org/": "https://example.org/",
    "https://8.8.8.8/a": "https://8.8.8.8/a",
    "https://[2606:4700::1111]:8443/a": "https://[2606:4700::1111]:8443/a",
    "https://[64:ff9b::808:808]/": "https://[64:ff9b::808:808]/",
    "https://a_b.s3.example.org/a@b:c": "https://a_b.s3.example.org/a@b:c",
}


@pytest.mark.parametrize("url", GOOD)
def test_a_good_address_is_put_together_in_one_way(url: str) -> None:
    found = check(url, allow_private=False).url
    assert found == GOOD[url]
    assert check(found, allow_private=False).url == found
    assert str(httpx.URL(found).host)


_PRIVATE = """
http://127.0.0.1 http://127.0.0.1:8080/ http://127.255.255.254 http://10.0.0.1 http://172.16.0.1 http://172.31.255.255
http://192.168.1.1 http://169.254.169.254/latest/meta-data http://100.64.0.1 http://100.127.255.255 http://0.0.0.0
http://0.1.2.3 http://192.0.0.192 http://192.0.2.1 http://198.18.0.1 http://198.51.100.7 http://203.0.113.9
http://224.0.0.1 http://239.255.255.250 http://240.0.0.1 http://255.255.255.255 http://168.63.129.16
http://[::1] http://[::] http://[0:0:0:0:0:0:0:1] http://[::ffff:127.0.0.1] http://[::ffff:7f00:1] http://[::127.0.0.1]
http://[::ffff:169.254.169.254] http://[::ffff:0:127.0.0.1] http://[64:ff9b::127.0.0.1] http://[64:ff9b::a9fe:a9fe]
http://[64:ff9b:1::7f00:1] http://[2002:7f00:1::] http://[2002:a9fe:a9fe::1] http://[2001:0:7f00:1::] http://[fe80::1]
http://[2001:db8::1] http://[2001:10::1] http://[3fff::1] http://[3ffe::1] http://[fc00::1] http://[fd00:ec2::254]
http://[fec0::1] http://[ff02::1] http://[100::1] http://[5f00::1] http://[::ffff:10.0.0.1]:443
http://localhost http://LOCALHOST. http://localhost:80 http://a.localhost http://ｌｏｃａｌｈｏｓｔ http://ⓛocalhost
http://localhost.localdomain http://printer.local http://metadata.google.internal http://metadata http://redis:8080
http://box.lan http://nas.home.arpa http://127。0。0。1 http://①②⑦.⓪.⓪.① http://127.0.0.1. http://127.0.0.1?@example.org
http://127.0.0.1#@example.org http://169.254.169.254.
"""
PRIVATE = _PRIVATE.split()


@pytest.mark.parametrize("url", PRIVATE)
def test_what_leads_inside_is_refused_by_its_spelling(url: str) -> None:
    with pytest.raises(AddressRefused, match="not public") as refused:
        check(url, allow_private=False)
    assert refused.value.code == "invalid_option"


_BROKEN = """
ftp://example.org file:///etc/passwd gopher://example.org:70 javascript:alert(1) data:,x //example.org example.org/a
http:example.org http:/example.org http:///a http:// http://: http://:80 http://?a http://.
http://user:password@example.org http://user@example.org http://@example.org http://a%40b@example.org
http://example.org@127.0.0.1 http://127.0.0.1@example.org http://example.org:80:80 http://example.org:0
http://example.org:65536 http://example.org:99999999999 http://example.org:-1 http://example.org:25
http://example.org:22 http://example.org:6379 http://example.org:8o http://example.org:８０ http://2130706433
http://017700000001 http://0x7f000001 http://127.1 http://127.0.1 http://0x7f.0.0.1 http://0177.0.0.1
http://127.0.0.01 http://１２７.1 http://0x http://1.2.3.4.5 http://256.1.1.1 http://a.1 http://[::1 http://::1
http://[::1]x http://[fe80::1%25eth0] http://[fe80::1%eth0] http://[v1.a] http://[] http://[127.0.0.1] http://[::1]:x
http://%31%32%37.0.0.1 http://localhost%00.example.org http://a..b.org http://-a.org http://a-.org http://a,b.org
http://a!b.org http://exa＠mple.org http://a／b.org http://℀.org
"""
BROKEN = [
    *_BROKEN.split(),
    "http://a\xadb.org",
    "http://a\u200bb.org",
    "http://a\u202eb.org",
    "http://example.org\\@127.0.0.1/",
    "http:\\\\127.0.0.1/",
    "http://example.org/a b",
    "http://example.org/\r\nHost: x",
    "http://example.org/\x00",
    "http://example.org/\ud800",
    "http://exa\tmple.org/",
    "http://127.0.0.1\u3000/",
    "",
    "http://" + "a" * 64 + ".org",
    "http://" + "a." * 127 + "org",
    "http://example.org/" + "a" * 2048,
    "http://" + "ü" * 30 + ".example/" + "a" * 2000,
]


@pytest.mark.parametrize("url", BROKEN)
@pytest.mark.parametrize("allow_private", [False, True])
def test_what_is_no_address_or_may_be_read_in_two_ways_is_refused(url: str, allow_private: bool) -> None:
    with pytest.raises(AddressRefused) as refused:
        check(url, allow_private=allow_private)
    assert refused.value.detail.endswith(".")
    assert "password" not in refused.value.detail or "user name or password" in refused.value.detail


METADATA = ["169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "[::ffff:169.254.169.254]"]


@pytest.mark.parametrize("host", [*METADATA, "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[::a9fe:a9fe]"])
def test_clouds_secrets_are_closed_to_closed_networks_too(host: str) -> None:
    with pytest.raises(AddressRefused):
        check(f"http://{host}/", allow_private=True)
    with pytest.raises(AddressRefused):
        resolve("nice.example", 80, allow_private=True, lookup=lambda *_: [host.strip("[]")])


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "redis", "localhost", "box.lan", "[::1]", "[fd12::1]"])
def test_a_closed_network_may_use_its_own_addresses(host: str) -> None:
    assert check(f"http://{host}/x", allow_private=True).url == f"http://{host}/x"


def test_no_address_that_the_library_calls_private_is_public() -> None:
    for text in ("1.1.1.1", "8.8.8.8", "193.0.0.1", "2606:4700::1111", "2a00:1450:4001::1"):
        assert is_public(text) and ipaddress.ip_address(text).is_global
    for n in range(256):  # one of each first byte, and its neighbours that matter
        for rest in ("0.0.1", "64.0.1", "168.0.1", "254.0.1", "31.0.1"):
            ip = ipaddress.ip_address(f"{n}.{rest}")
            assert not is_public(str(ip)) or (ip.is_global and not ip.is_multicast), ip


class TestResolving:
    def test_one_bad_answer_condemns_the_name(self) -> None:
        with pytest.raises(AddressRefused):
            resolve("x.example", 80, allow_private=False, lookup=lambda *_: ["8.8.8.8", "10.0.0.1"])

    @pytest.mark.parametrize("bad", ["127.0.0.1", "fe80::1%eth0", "::1", "::ffff:10.0.0.1", "0.0.0.0", "fd00:ec2::254"])
    def test_a_bad_answer_is_refused_without_saying_which(self, bad: str) -> None:
        with pytest.raises(AddressRefused) as refused:
            resolve("x.example", 80, allow_private=False, lookup=lambda *_: [bad])
        assert bad not in refused.value.detail

    def test_good_answers_come_once_and_in_their_order(self) -> None:
        answers = ["2606:4700::1111", "8.8.8.8", "8.8.8.8"]
        assert resolve("x.example", 80, allow_private=False, lookup=lambda *_: answers) == answers[:2]

    @pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), OSError(), UnicodeError(), None])
    def test_a_name_that_stands_for_nothing(self, error: Exception | None) -> None:
        def lookup(host: str, port: int) -> list[str]:
            if error is not None:
                raise error
            return []

        with pytest.raises(HostNotFound, match=r"x\.example"):
            resolve("x.example", 80, allow_private=False, lookup=lookup)

    def test_the_system_is_asked_by_default(self) -> None:
        with pytest.raises(AddressRefused):
            resolve("localhost", 80, allow_private=False)
        assert set(resolve("localhost", 80, allow_private=True)) <= {"127.0.0.1", "::1"}


class Listener:
    """A server that counts who connects, and answers nothing but "fine"."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.connections = 0
        self.heads: list[bytes] = []
        self._context = context
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with self._context.wrap_socket(plain, server_side=True) if self._context else plain as made:
                    self.heads.append(made.recv(65536))
                    made.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine")
            except OSError:
                plain.close()

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self._thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


def test_a_name_is_resolved_once_and_connected_to_what_came_out(listener: Listener) -> None:
    answers = [["127.0.0.1"], ["192.0.2.1"]]
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers.pop(0)

    with client(allow_private=True, timeout=5, lookup=lookup) as http:
        assert http.get(f"http://rebound.example.org:{listener.port}/x").text == "fine"
    assert asked == ["rebound.example.org"]
    assert f"Host: rebound.example.org:{listener.port}".encode().lower() in listener.heads[0].lower()


def test_nothing_is_connected_to_where_the_answer_is_bad(listener: Listener) -> None:
    answers = [["8.8.8.8", "127.0.0.1"], ["127.0.0.1"]]
    with client(allow_private=False, timeout=5, lookup=lambda *_: answers.pop(0)) as http:
        for _ in range(2):
            with pytest.raises(AddressRefused):
                http.get(f"http://rebound.example.org:{listener.port}/")
        with pytest.raises(AddressRefused):
            http.get(f"http://127.0.0.1:{listener.port}/")
        with pytest.raises(AddressRefused):
            http.get(f"http://user:password@example.org:{listener.port}/")
    assert listener.connections == 0 and not answers


def test_no_proxy_of_the_environment_is_asked(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
    with client(allow_private=False, timeout=5, lookup=lambda *_: ["127.0.0.1"]) as http, pytest.raises(AddressRefused):
        http.get("http://example.org/")
    assert listener.connections == 0


def test_a_dead_address_is_passed_over(listener: Listener) -> None:
    answers = ["127.0.0.2", "127.0.0.1"]  # nobody listens on the first
    with client(allow_private=True, timeout=5, lookup=lambda *_: answers) as http:
        assert http.get(f"http://two.example.org:{listener.port}/").text == "fine"


def test_waiting_for_a_resolver_can_be_ended() -> None:
    stuck = threading.Event()

    class Enough(Exception):
        pass

    def lookup(host: str, port: int) -> list[str]:
        stuck.wait(30)
        return []

    def pulse() -> None:
        raise Enough

    with client(allow_private=True, timeout=30, lookup=lookup, pulse=pulse) as http, pytest.raises(Enough):
        http.get("http://slow.example.org/")
    stuck.set()


def test_the_certificate_must_be_good_for_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl to make a certificate")
    pair = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    name = ["-subj", "/CN=good.example.org", "-addext", "subjectAltName=DNS:good.example.org"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *pair, *name]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    listener = Listener(context)
    try:
        with client(allow_private=True, timeout=5, lookup=lambda *_: ["127.0.0.1"]) as http:
            assert http.get(f"https://good.example.org:{listener.port}/").text == "fine"
            with pytest.raises(httpx.ConnectError, match="certificate"):
                http.get(f"https://bad.example.org:{listener.port}/")
    finally:
        listener.close()
    assert names == ["good.example.org", "bad.example.org"]


def test_a_refused_address_is_shown_without_its_password() -> None:
    assert shown("https://me:secret@example.org/a?b") == "https://example.org/a?b"
    assert shown("me:secret@example.org") == "example.org"
    assert shown("https:\\\\me:secret@example.org") == "example.org"
    assert shown("http://x/\x00\ud800" + "y" * 5000) == "http://x/" + "y" * 2039
