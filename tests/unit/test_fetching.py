"""Recordings fetched from real servers that behave in every way servers do."""

import gzip
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from pipelines.errors import Cancelled, InputError, LonghandError
from pipelines.names import name_in_address, name_in_header
from pipelines.stage import Limits
from pipelines.web.addresses import AddressRefused
from pipelines.web.fetching import Fetched, fetch
from store.steps import Piece
from tasks.worker import make_worker
from tasks.workfiles import WorkFiles
from tests.web_server import Visit, WebServer, rest

SOUND = random.Random(1).randbytes(300_000)
HASH = hashlib.sha256(SOUND).hexdigest()
EXTENDED = "filename*=UTF-8''%C3%9Cber%20alles.mp3"
AT_ONCE = (0.0, 0.0, 0.0)
Get = Callable[..., Fetched]


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as found:
        found.answers["/talk.mp3"] = lambda visit: visit.give(SOUND)
        yield found


@pytest.fixture
def get(server: WebServer, tmp_path: Path) -> Get:
    """Fetch a path of that server into a file."""

    def get(path: str = "/talk.mp3", **other: object) -> Fetched:
        limits = Limits(**{"allow_private_urls": True, "max_source_bytes": 1 << 20, **other.pop("limits", {})})
        settings = {"progress": lambda *_: None, "pauses": AT_ONCE, "silence_seconds": 5, **other}
        found = fetch(path if "://" in path else server.url(path), tmp_path / "source", limits=limits, **settings)
        assert found.sha256 == hashlib.sha256((tmp_path / "source").read_bytes()).hexdigest()
        assert found.bytes == (tmp_path / "source").stat().st_size
        return found

    return get


def refused(get: Get, *args: object, **kwargs: object) -> LonghandError:
    with pytest.raises(LonghandError) as error:
        get(*args, **kwargs)
    assert error.value.detail.endswith(".") and "/" not in error.value.detail.replace("//", "").replace("https or", "")
    assert "secret" not in str(error.value)
    return error.value


def test_a_recording_comes_as_it_is_with_its_name_and_its_progress(get: Get, server: WebServer) -> None:
    told: list[tuple[float, float]] = []
    found = get("/talk.mp3?token=secret", progress=lambda done, total: told.append((done, total)))
    assert found == Fetched(name="talk.mp3", bytes=len(SOUND), sha256=HASH)
    assert told[-1] == (len(SOUND), len(SOUND)) and all(done <= total for done, total in told)
    assert server.visits[0].headers["Accept-Encoding"] == "identity"
    assert {"Cookie", "Authorization", "Range"}.isdisjoint(server.visits[0].headers)


def test_without_a_length_the_end_is_the_end(get: Get, server: WebServer) -> None:
    server.answers["/x"] = lambda visit: visit.give(SOUND, length=-1)
    assert get("/x").sha256 == HASH


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        ("/a%20b%2Fc.mp3?x=/y.wav", {}, "c.mp3"),
        ("/folder/talk.ogg/", {}, "talk.ogg"),
        ("/", {}, "recording"),
        ("/x", {"Content_Disposition": f"attachment; filename=\"plain.mp3\"; {EXTENDED}"}, "Über alles.mp3"),
        ("/x", {"Content_Disposition": 'attachment; filename="../../etc/pass\\"wd"'}, "pass\"wd"),
        ("/x", {"Content_Disposition": "attachment; filename=C:\\\\talk.wav"}, "talk.wav"),
        ("/x", {"Content_Disposition": "attachment; filename*=none''%FF; filename=good.wav"}, "good.wav"),
        ("/x", {"Content_Disposition": "inline"}, "x"),
    ],
)  # fmt: skip
def test_the_name_is_what_the_server_says_else_the_addresses(
    get: Get, server: WebServer, path: str, headers: dict[str, str], name: str
) -> None:
    server.answers[path.partition("?")[0]] = lambda visit: visit.give(SOUND, **headers)
    assert get(path).name == name


def test_names_from_strangers_are_tame() -> None:
    assert name_in_address("https://x/%00%0d%0aa%E2%80%AEb") == "ab"
    assert name_in_address("https://[broken") == "recording"
    assert name_in_header("attachment; filename*=zlib''%78") is None
    assert name_in_header('attachment; filename="' + "\\" * 5000) == '"'


class TestRedirects:
    def test_five_are_followed_and_a_dull_last_name_does_not_win(self, get: Get, server: WebServer) -> None:
        for n in range(5):
            server.answers[f"/{n}.mp3"] = lambda visit, n=n: visit.give(
                b"", status=302, Location=f"/{n + 1}.mp3" if n < 4 else "/blob"
            )
        server.answers["/blob"] = lambda visit: visit.give(SOUND)
        assert get("/0.mp3") == Fetched(name="0.mp3", bytes=len(SOUND), sha256=HASH)

    def test_a_circle_ends(self, get: Get, server: WebServer) -> None:
        server.answers["/a"] = lambda visit: visit.give(b"", status=307, Location="/a")
        assert "more than 5" in refused(get, "/a").detail
        assert len(server.visits) == 6

    @pytest.mark.parametrize(
        "location",
        [
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:169.254.169.254]/",
            "//2852039166/latest",
            "file:///etc/passwd",
            "gopher://public.example/",
            "http://me:secret@public.example/",
            "http://public.example:25/",
            "http://inside.example/",
        ],
    )
    def test_each_is_checked_anew(self, get: Get, server: WebServer, location: str) -> None:
        # The metadata of clouds is what is refused here: this server itself is on a private address.
        server.answers["/a"] = lambda visit: visit.give(b"", status=302, Location=location)
        names = {"public.example": ["127.0.0.1"], "inside.example": ["169.254.169.254"]}
        with pytest.raises(AddressRefused):
            get(server.url("/a", host="public.example"), lookup=lambda host, port: names[host])
        assert len(server.visits) == 1

    def test_a_name_that_turns_inside_before_the_second_hop_is_refused(self, get: Get, server: WebServer) -> None:
        answers = [["127.0.0.1"], ["169.254.169.254"]]
        server.answers["/a"] = lambda visit: visit.give(b"", status=302, length=0, Location="/b")
        with pytest.raises(AddressRefused):
            get(server.url("/a", host="turns.example"), lookup=lambda *_: answers.pop(0))
        assert len(server.visits) == 1 and not answers

    def test_nothing_is_fetched_from_private_addresses_unless_allowed(self, get: Get, server: WebServer) -> None:
        private = {"limits": {"allow_private_urls": False}}
        assert refused(get, **private).code == "invalid_option"
        with pytest.raises(AddressRefused):
            get(server.url("/talk.mp3", host="public.example"), lookup=lambda *_: ["127.0.0.1"], **private)
        assert not server.visits


class TestBreaks:
    @staticmethod
    def breaks_after(count: int, **headers: str) -> Callable[[Visit], None]:
        """Gives so many bytes at once and then breaks off; goes on where it is asked to."""

        def answer(visit: Visit) -> None:
            begin = rest(visit)
            part = SOUND[begin:]
            if begin:
                headers["Content_Range"] = f"bytes {begin}-{len(SOUND) - 1}/{len(SOUND)}"
            visit.give(part[:count], status=206 if begin else 200, length=len(part), **headers)

        return answer

    @pytest.mark.parametrize("validator", [{"ETag": '"v1"'}, {"Last_Modified": "Mon, 05 Jan 2026 10:00:00 GMT"}])
    def test_what_breaks_off_goes_on_where_it_broke(
        self, get: Get, server: WebServer, validator: dict[str, str]
    ) -> None:
        # Seven breaks are more than the tries in vain that there may be: each brought something.
        server.answers["/x"] = self.breaks_after(45_000, **validator)
        assert get("/x").sha256 == HASH
        begins = [rest(visit) for visit in server.visits]
        assert begins == sorted(set(begins)) and len(begins) == 7
        assert {visit.headers["If-Range"] for visit in server.visits[1:]} == set(validator.values())

    @pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"v1"'}])
    def test_without_a_strong_validator_it_begins_anew(
        self, get: Get, server: WebServer, headers: dict[str, str]
    ) -> None:
        broken = self.breaks_after(45_000, **headers)
        server.answers["/x"] = lambda visit: broken(visit) if len(server.visits) < 3 else visit.give(SOUND)
        assert get("/x").sha256 == HASH
        assert not any("Range" in visit.headers for visit in server.visits)

    def test_another_recording_under_the_same_address_is_taken_whole(self, get: Get, server: WebServer) -> None:
        other = SOUND[::-1] + b"more"

        def answer(visit: Visit) -> None:
            if len(server.visits) == 1:
                visit.give(SOUND[:100_000], length=len(SOUND), ETag='"v1"')
            else:
                visit.give(other, ETag='"v2"')

        server.answers["/x"] = answer
        assert get("/x").sha256 == hashlib.sha256(other).hexdigest()

    @pytest.mark.parametrize("says", ["bytes 7-299999/300000", "bytes 45000-299999/1", "nonsense", ""])
    def test_a_part_that_does_not_fit_is_not_taken(self, get: Get, server: WebServer, says: str) -> None:
        def answer(visit: Visit) -> None:
            if len(server.visits) == 1:
                visit.give(SOUND[:45_000], length=len(SOUND), ETag='"v1"')
            elif "Range" in visit.headers:
                visit.give(b"x" * 255_000, status=206, ETag='"v1"', Content_Range=says)
            else:
                visit.give(SOUND)

        server.answers["/x"] = answer
        assert get("/x").sha256 == HASH
        assert len(server.visits) == 3

    def test_a_length_that_promises_too_much_is_seen_through(self, get: Get, server: WebServer) -> None:
        def answer(visit: Visit) -> None:
            if rest(visit):
                visit.give(b"", status=416, Content_Range=f"bytes */{len(SOUND)}")
            else:
                visit.give(SOUND, length=len(SOUND) + 10, ETag='"v1"')

        server.answers["/x"] = answer
        assert get("/x").sha256 == HASH

    def test_what_always_breaks_ends(self, get: Get, server: WebServer) -> None:
        server.answers["/x"] = lambda visit: visit.give(SOUND[:45_000], length=len(SOUND))
        error = refused(get, "/x")
        assert error.code == "fetch_failed" and "broke off" in error.detail and len(server.visits) == 1 + len(AT_ONCE)
        assert isinstance(error, InputError)

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_what_may_pass_is_tried_again(self, get: Get, server: WebServer, status: int) -> None:
        def answer(visit: Visit) -> None:
            if len(server.visits) < 3:
                visit.give(b"", status=status, Retry_After="0")
            else:
                visit.give(SOUND)

        server.answers["/x"] = answer
        assert get("/x").sha256 == HASH

    def test_what_does_not_pass_ends_with_its_reason(self, get: Get, server: WebServer) -> None:
        server.answers["/x"] = lambda visit: visit.give(b"", status=503)
        error = refused(get, "/x?token=secret")
        assert error.code == "fetch_failed" and "503 Service Unavailable" in error.detail

    def test_nobody_there(self, get: Get) -> None:
        with WebServer() as gone:
            url = gone.url("/x?token=secret")
        error = refused(get, url, pauses=(0.0,))
        assert error.code == "fetch_failed" and "cannot be reached" in error.detail

    def test_no_such_host_says_which(self, get: Get) -> None:
        def lookup(host: str, port: int) -> list[str]:
            raise OSError

        error = refused(get, "http://nowhere.example/?token=secret", lookup=lookup, pauses=())
        assert error.code == "fetch_failed" and "nowhere.example" in error.detail


@pytest.mark.parametrize(
    ("status", "says"),
    [
        *((401, "no login"), (403, "no login"), (404, "no recording"), (410, "no recording")),
        *((418, "418"), (304, "304"), (204, "no content"), (599, "599 unknown")),
    ],
)
def test_what_no_second_try_mends_is_said_at_once(get: Get, server: WebServer, status: int, says: str) -> None:
    server.answers["/x"] = lambda visit: visit.give(b"", status=status)
    error = refused(get, "/x?token=secret")
    assert says in error.detail and isinstance(error, InputError) and len(server.visits) == 1
    theirs = {204: "unsupported_media", 599: "fetch_failed"}
    assert error.code == theirs.get(status, "invalid_option")


PAGE = b"\n<!-- hello --><!DOCTYPE html>\n<html><body>Please log in</body></html>"


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"", {}, "empty"),
        (PAGE, {"Content_Type": "audio/mpeg"}, "web page"),
        (PAGE * 100, {}, "web page"),
        (b"<svg></svg>", {"Content_Type": "Text/HTML; charset=utf-8"}, "web page"),
        (gzip.compress(SOUND), {"Content_Encoding": "gzip"}, "packed"),
    ],
)
def test_what_is_no_recording_is_refused(
    get: Get, server: WebServer, body: bytes, headers: dict[str, str], says: str
) -> None:
    server.answers["/x"] = lambda visit: visit.give(body, **headers)
    assert says in refused(get, "/x").detail


def test_media_that_is_called_a_page_is_taken(get: Get, server: WebServer) -> None:
    server.answers["/x"] = lambda visit: visit.give(SOUND, Content_Type="text/html")
    assert get("/x").sha256 == HASH


class TestBounds:
    def test_a_length_that_is_too_large_is_refused_before_a_byte_is_read(self, get: Get, server: WebServer) -> None:
        read = []
        server.answers["/x"] = lambda visit: visit.give(b"", length=(1 << 20) + 1)
        error = refused(get, "/x", progress=lambda done, _: read.append(done))
        assert error.code == "too_large" and "1 MB" in error.detail and not any(read)

    @pytest.mark.parametrize("length", [-1, 10])
    def test_more_than_was_said_is_cut_or_refused(self, get: Get, server: WebServer, length: int) -> None:
        server.answers["/x"] = lambda visit: visit.give(b"x" * ((1 << 20) + 1), length=length)
        if length == -1:
            assert refused(get, "/x").code == "too_large"
        else:
            assert get("/x").bytes == 10

    def test_exactly_the_bound_is_not_too_large(self, get: Get, server: WebServer) -> None:
        server.answers["/x"] = lambda visit: visit.give(b"x" * (1 << 20))
        assert get("/x").bytes == 1 << 20

    def test_a_drip_ends_with_the_time(self, get: Get, server: WebServer) -> None:
        ended = threading.Event()

        def answer(visit: Visit) -> None:
            visit.give(b"", length=-1)
            while not ended.wait(0.05):
                visit.wfile.write(b"x")

        server.answers["/x"] = answer
        error = refused(get, "/x", limits={"fetch_seconds": 0.4})
        ended.set()
        assert error.code == "timeout"

    def test_endless_headers_end_with_the_time(self, get: Get, server: WebServer) -> None:
        ended = threading.Event()

        def answer(visit: Visit) -> None:
            while not ended.wait(0.02):
                visit.wfile.write(b"HTTP/1.1 102 Processing\r\n\r\n")

        server.answers["/x"] = answer
        error = refused(get, "/x", limits={"fetch_seconds": 0.3})
        ended.set()
        assert error.code == "timeout"

    @pytest.mark.parametrize("head", [True, False])
    def test_a_cancel_is_seen_while_the_server_is_silent(self, get: Get, server: WebServer, head: bool) -> None:
        ended, silent = threading.Event(), threading.Event()

        def answer(visit: Visit) -> None:
            if head:
                visit.give(b"beginning", length=100)
                visit.wfile.flush()
            silent.set()
            ended.wait(30)

        def progress(done: float, total: float) -> None:
            if silent.is_set():
                raise Cancelled("The job was cancelled.")

        server.answers["/x"] = answer
        began = time.monotonic()
        with pytest.raises(Cancelled):
            get("/x", progress=progress, silence_seconds=30)
        assert time.monotonic() - began < 15
        ended.set()

    def test_silence_ends(self, get: Get, server: WebServer) -> None:
        ended = threading.Event()
        server.answers["/x"] = lambda visit: (ended.wait(30), None)[1]
        error = refused(get, "/x", silence_seconds=0.3, pauses=(0.0,))
        ended.set()
        assert error.code == "timeout" and len(server.visits) == 2

    def test_a_cancel_is_seen_between_two_tries(self, get: Get, server: WebServer) -> None:
        server.answers["/x"] = lambda visit: visit.give(b"", status=503, Retry_After="20")
        tries = []

        def progress(done: float, total: float) -> None:
            tries.append(len(server.visits))
            if len(tries) > 2 and server.visits:
                raise Cancelled("The job was cancelled.")

        with pytest.raises(Cancelled):
            get("/x", progress=progress, pauses=(20.0,))
        assert len(server.visits) == 1


def test_a_worker_of_an_open_network_fetches_nothing_from_inside(server: WebServer, tmp_path: Path) -> None:
    """The web process refuses such addresses, but what a worker does must not hang on that."""
    worker = make_worker(Settings(_env_file=None, data_dir=tmp_path))
    piece = Piece("0" * 32, "fetch")
    stage = worker.stages["fetch"]
    try:
        with WorkFiles(worker.store.files, stage, piece, worker.scratch(piece, "c")) as files:
            for host in ("127.0.0.1", "localhost"):
                options = stage.pick({"url": server.url("/talk.mp3", host=host), "beam_size": 5})
                with pytest.raises(AddressRefused):
                    stage.run(files, options, lambda *_: None, **worker.tools(stage))
    finally:
        worker.app.close()
        worker.store.database.engine.dispose()
    assert not server.visits
