"""Forms taken apart as they arrive, however the bytes are cut, and names that are safe to show."""

import io
import re
import unicodedata
from pathlib import Path

import pytest
from flask import Request
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from pipelines.names import MAX_NAME, display_name
from store import Store
from store.database import Database
from store.events import Events
from store.files import Storage
from webapp.intake.uploads import received

BOUNDARY = "b"


class Dribble:
    """A body that arrives in pieces of its own choosing."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data = io.BytesIO(data)
        self._sizes = sizes

    def read(self, size: int) -> bytes:
        return self._data.read(min(self._sizes.pop() if self._sizes else size, size))


def store_in(folder: Path) -> Store:
    database = Database(f"sqlite:///{folder / 'record.db'}")
    return Store(database, Storage((folder / "files").as_uri()), Events("redis://localhost:1"))


def request_of(body: bytes, sizes: list[int]) -> Request:
    environ = EnvironBuilder(method="POST").get_environ()
    environ |= {"wsgi.input": Dribble(body, sizes), "wsgi.input_terminated": True}
    environ["CONTENT_TYPE"] = f"multipart/form-data; boundary={BOUNDARY}"
    environ.pop("CONTENT_LENGTH", None)
    return Request(environ)


@settings(deadline=None, max_examples=60)
@given(
    data=st.lists(
        st.sampled_from(
            [b"\r", b"\n", b"--", b"\r\n--", BOUNDARY.encode(), b"--b", b"\r\n--bb", b"\r\n--b ", b"x", b"\0\xff"]
        ),
        max_size=60,
    ).map(b"".join),
    sizes=st.lists(st.integers(1, 40), max_size=40),
)
def test_a_file_arrives_unchanged_wherever_the_network_cuts_it(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, sizes: list[int]
) -> None:
    end = re.search(rb"\r\n--b(--|[ \t]*\r\n)", b"\r\n" + data + b"\r\n--b\r\n")
    assume(end and end.start() == len(data) + 2)  # else the boundary was badly chosen
    store = store_in(tmp_path_factory.mktemp("s"))
    head = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    field = b'Content-Disposition: form-data; name="x"\r\n\r\nvalue'
    body = b"--b\r\n" + head + data + b"\r\n--b\r\n" + field + b"\r\n--b--\r\n"
    with received(request_of(body, sizes), store, max_bytes=10_000) as form:
        (file,) = form.files
        with store.files.open(file.id, "source") as stream:
            assert stream.read() == data
        assert file.size == len(data)
        assert form.fields == {"x": ["value"]}


def test_what_fails_after_the_upload_takes_its_files_along(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nxyz\r\n--b--\r\n'
    store.database.upgrade()
    with pytest.raises(KeyboardInterrupt), received(request_of(body, []), store, max_bytes=100) as form:
        assert store.files.exists(form.files[0].id, "source")
        raise KeyboardInterrupt
    store.database.engine.dispose()
    assert {path.name for path in (tmp_path / "files").iterdir()} == {"health"}


@given(st.text(max_size=400))
def test_a_shown_name_is_one_short_line_that_is_no_path(name: str) -> None:
    shown = display_name(name)
    assert 1 <= len(shown) <= MAX_NAME
    assert shown == display_name(shown)
    assert not set(shown) & set("/\\\r\n\0") and shown not in {".", ".."}
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert all(unicodedata.category(c) not in hidden for c in shown if c not in "\u200c\u200d")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("talk.mp3", "talk.mp3"),
        ("C:\\Users\\ada\\talk.mp3", "talk.mp3"),
        ("../../etc/passwd", "passwd"),
        ("/", "recording"),
        ("", "recording"),
        ("-", "recording"),
        ("..", "recording"),
        ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
        ("invoice\u202e3pm.exe", "invoice3pm.exe"),
        ("  Größe  Ω .wav ", "Größe Ω .wav"),
        ("x" * 300 + ".flac", "x" * 250 + ".flac"),
    ],
)
def test_names_as_clients_send_them(name: str, shown: str) -> None:
    assert display_name(name) == shown
