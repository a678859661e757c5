"""Fetches pip itself from the package index that pip would use, for a Python that comes without one.

Standard library only. What pip's own settings say (environment and configuration files: index, certificate, proxy,
trusted hosts, local folders of wheels) holds here too. A wheel is used only if its SHA-256 is the one the index states.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import netrc
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

DEFAULT_INDEX = "https://pypi.org/simple"
SECONDS = 60.0
ATTEMPTS = 3
_WHEEL = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")  # pre-releases do not match, and are not wanted


class PipNotFound(Exception):
    """No pip can be had; the message is a sentence that says what to do."""


@dataclass(frozen=True)
class Wheel:
    """A pip that an index or a folder offers."""

    version: str
    url: str
    sha256: str | None

    @property
    def order(self) -> tuple[int, ...]:
        """Newer is greater."""
        return tuple(map(int, self.version.split(".")))


def fetch_pip(folder: Path, *, pinned: str | None = None) -> Path:
    """Put a wheel of pip into a folder: the pinned version, else the newest there is.

    Raises:
        PipNotFound: None can be had, or what came is not what the index states.
    """
    options = pip_options(os.environ)
    offers, troubles = [], []
    for source in sources(options):
        try:
            offers += offered(source, options)
        except (OSError, ValueError) as error:
            troubles.append(f"{host_of(source)}: {getattr(error, 'reason', error)}")
    wheel = choose(offers, pinned)
    if wheel is None:
        why = f" ({'; '.join(troubles)})" if troubles else ""
        raise PipNotFound(
            f"No pip could be fetched from the package index{why}: connect this machine to the index, "
            "set PIP_INDEX_URL, or install python3-venv."
        )
    try:
        data = read(wheel.url, options)
    except OSError as error:
        raise PipNotFound(f"The download of pip broke off ({getattr(error, 'reason', error)}): try again.") from error
    check(data, wheel)
    path = folder / unquote(urlsplit(wheel.url).path).rsplit("/", 1)[-1]
    path.write_bytes(data)
    return path


def check(data: bytes, wheel: Wheel) -> None:
    """Refuse a wheel that is not the one its index stated; only a local folder need not state anything.

    Raises:
        PipNotFound: It is not, or the index states nothing.
    """
    if wheel.sha256 is None:
        if urlsplit(wheel.url).scheme != "file":
            raise PipNotFound("The package index states no SHA-256 for pip, so it is not used: choose another index.")
    elif hashlib.sha256(data).hexdigest() != wheel.sha256:
        raise PipNotFound("The pip that came is not the one the package index states (SHA-256): try again.")


def choose(offers: Iterable[Wheel], pinned: str | None) -> Wheel | None:
    """The pinned version if it is offered, else the newest."""
    offers = list(offers)
    exact = [wheel for wheel in offers if wheel.version == pinned]
    return max(exact or offers, key=lambda wheel: (wheel.order, wheel.sha256 is not None), default=None)


def pip_options(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip's configuration files and PIP_* variables say; the later of each is the stronger."""
    options: dict[str, str] = {}
    for path in configuration_files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, "utf-8")
        except (configparser.Error, OSError, UnicodeError):
            continue  # pip itself will say what is wrong with it
        for section in ("global", "install"):
            if parser.has_section(section):
                options |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            options[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return options


def configuration_files(environ: Mapping[str, str]) -> list[Path]:
    """Pip's configuration files, the weakest first."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    folders = [Path(part) / "pip" for part in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if part]
    files = [*(folder / "pip.conf" for folder in folders), Path("/etc/pip.conf")]
    if home := environ.get("HOME"):
        config = Path(environ.get("XDG_CONFIG_HOME") or Path(home) / ".config")
        files += [Path(home) / ".pip" / "pip.conf", config / "pip" / "pip.conf"]
    files.append(Path(sys.prefix) / "pip.conf")
    return [*files, Path(named)] if named else files


def sources(options: Mapping[str, str]) -> list[str]:
    """Where to look: folders of wheels, the index, further indexes; as addresses."""
    links = [as_address(part) for part in options.get("find-links", "").split()]
    if options.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        return links
    indexes = [options.get("index-url", DEFAULT_INDEX), *options.get("extra-index-url", "").split()]
    return [*links, *(f"{as_address(index).rstrip('/')}/pip/" for index in indexes)]


def as_address(place: str) -> str:
    """An address as it is, a path as a file address."""
    return place if re.match(r"[a-z+]+://", place) else Path(place).expanduser().resolve().as_uri()


def offered(source: str, options: Mapping[str, str]) -> list[Wheel]:
    """The wheels of pip that a page or a local folder lists.

    Raises:
        OSError: It cannot be read.
    """
    if urlsplit(source).scheme == "file":
        folder = Path(unquote(urlsplit(source).path))
        if not (folder / "index.html").is_file():
            found = [(path, _WHEEL.fullmatch(path.name)) for path in (folder.iterdir() if folder.is_dir() else ())]
            return [Wheel(match[1], path.resolve().as_uri(), None) for path, match in found if match]
        source = (folder / "index.html").as_uri()
    page = Links()
    page.feed(read(source, options).decode("utf-8", "replace"))
    return [wheel for link in page.found if (wheel := as_wheel(urljoin(source, link)))]


class Links(HTMLParser):
    """The links of an index page that are not withdrawn."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a link."""
        named = dict(attrs)
        if tag == "a" and (href := named.get("href")) and "data-yanked" not in named:
            self.found.append(href)


def as_wheel(link: str) -> Wheel | None:
    """A link as a wheel of pip; None if it is none."""
    url, fragment = urldefrag(link)
    match = _WHEEL.fullmatch(unquote(urlsplit(url).path).rsplit("/", 1)[-1])
    stated = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
    return Wheel(match[1], url, stated[1] if stated else None) if match else None


def read(url: str, options: Mapping[str, str]) -> bytes:
    """The content of an address; tried again when the line breaks.

    Raises:
        OSError: It cannot be read.
    """
    if urlsplit(url).scheme not in {"http", "https", "file"}:
        raise OSError("only http, https and file addresses can be read")
    url, authorisation = without_credentials(url, index=options.get("index-url", ""))
    request = urllib.request.Request(url, headers={"Accept": "text/html, */*", "User-Agent": "longhand-setup"})  # noqa: S310
    if authorisation:
        # Not sent on when the index redirects to another host.
        request.add_unredirected_header("Authorization", authorisation)
    for attempt in range(ATTEMPTS):
        try:
            with opener(url, options).open(request, timeout=SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError:
            raise
        except OSError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def opener(url: str, options: Mapping[str, str]) -> urllib.request.OpenerDirector:
    """Opens addresses with pip's certificate and proxy."""
    cafile = options.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    context = ssl.create_default_context(cafile=cafile if cafile and Path(cafile).is_file() else None)
    if urlsplit(url).hostname in {host.split(":")[0] for host in options.get("trusted-host", "").split()}:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    if proxy := options.get("proxy"):
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    return urllib.request.build_opener(*handlers)


def without_credentials(url: str, *, index: str) -> tuple[str, str | None]:
    """An address without user and password, and the header that carries them; the index's own count for its host."""
    parts = urlsplit(url)
    known = urlsplit(index)
    user, password = parts.username, parts.password
    if user is None and known.username is not None and known.hostname == parts.hostname:
        user, password = known.username, known.password
    if user is None and parts.hostname:
        user, password = from_netrc(parts.hostname)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if user is None:
        return bare, None
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return bare, f"Basic {base64.b64encode(pair).decode()}"


def from_netrc(host: str) -> tuple[str | None, str | None]:
    """User and password that a netrc file has for a host."""
    try:
        entry = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None, None
    return (entry[0], entry[2]) if entry else (None, None)


def host_of(source: str) -> str:
    """What to call a source in a message: never its password."""
    return urlsplit(source).hostname or "local folder"
