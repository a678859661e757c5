"""Which addresses of the web may be asked on behalf of a client: the guard against server-side request forgery.

Two looks, because neither is enough: ``check`` at the spelling, when the address comes in and at every redirect;
``resolve`` at what the name stands for, at the moment of connecting. ``client`` connects to exactly the addresses
that ``resolve`` found good, so a name that answers differently the next time gains nothing.
"""

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import OptionsError, TransientError

if TYPE_CHECKING:
    import httpx

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Sequence[str]]
"""From a host name and a port to the IP addresses it stands for; raises OSError."""

MAX_LENGTH = 2048
_NOT_FOR_US = "The address leads into a network that is not public; use one that everybody can reach."
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SHAPE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_INNER_NAMES = ("localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa")
"""Names that no public host has: loopback, multicast DNS, names of clouds' and home networks' own."""
_PORTS = (
    "1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 "
    "135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 "
    "995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6379 6566 6665 6666 6667 6668 6669 6679 6697 10080 11211"
)
_OTHER_SERVICES = frozenset(map(int, _PORTS.split()))
"""Ports of mail, chat, files and caches: what is sent there in the guise of a web request may be taken for theirs."""

_NOT_PUBLIC = [
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
# A table of our own: what the standard library calls global has changed between patch releases of Python.
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [
    ipaddress.IPv6Network(text)
    # Teredo and other protocols' own, documentation, 6to4 (which carries any IPv4 address), the old test network.
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20")
]
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        *("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
    )
)
"""Where clouds tell their machines secrets. Never a recording's address, also not in a closed network."""


class AddressRefused(OptionsError):
    """An address that must not be asked; asking again changes nothing."""


class HostNotFound(TransientError):
    """A host name that stands for nothing now."""


@dataclass(frozen=True)
class Address:
    """An address that was taken apart, and is put together so that nobody can read it differently."""

    scheme: str
    host: str
    """In lower case and ASCII; an IPv6 address without brackets."""
    port: int
    target: str
    """Path and query."""

    @property
    def url(self) -> str:
        """The whole address, without a fragment."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


def check(url: str, *, allow_private: bool, max_length: int = MAX_LENGTH) -> Address:
    """Take an address apart without asking anybody; only its spelling is judged.

    Raises:
        AddressRefused: With a sentence that does not repeat the address, which may hold a secret.
    """
    url = url.strip(" \t\r\n")
    if len(url) > max_length:
        raise AddressRefused(f"The address is longer than {max_length} characters; send a shorter one.")
    if any(c == "\\" or unicodedata.category(c) in {"Cc", "Cs", "Zs", "Zl", "Zp"} for c in url):
        raise AddressRefused(
            "The address holds a space, a backslash or a control character; write them as % and two digits."
        )
    shape = _SHAPE.fullmatch(url)
    scheme = shape[1].lower() if shape else ""
    if shape is None or scheme not in _DEFAULT_PORTS:
        raise AddressRefused("The address must begin with http:// or https:// and name a host.")
    authority, rest = shape[2], shape[3]
    if "@" in authority:
        raise AddressRefused("The address must not hold a user name or password; use one that needs none.")
    host, port = _host_and_port(authority)
    found = Address(scheme, host, port or _DEFAULT_PORTS[scheme], rest if rest.startswith("/") else f"/{rest}")
    _check_host(host, allow_private=allow_private)
    if len(found.url) > max_length:  # a name in other letters becomes longer as the network spells it
        raise AddressRefused(f"The address is longer than {max_length} characters; send a shorter one.")
    return found


def shown(url: str) -> str:
    """An address that was refused as its sender may see it again: without a password, and short."""
    kept = "".join(c for c in url if unicodedata.category(c) not in {"Cc", "Cs"})
    return re.sub(r"^([^/?#]*//)?[^/?#]*@", r"\1", kept)[:MAX_LENGTH]


def is_public(address: str) -> bool:
    """Whether everybody on the internet means the same machine by this IP address."""
    return _public(ipaddress.ip_address(address))


def look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def resolve(host: str, port: int, *, allow_private: bool, lookup: Lookup = look_up) -> list[str]:
    """The IP addresses that a host's name stands for, all of them good to connect to.

    One bad address among them condemns the name: an honest public host has none, and a name that answers with both
    is on its way to lead us inside.

    Raises:
        AddressRefused: It leads to where nobody may be led.
        HostNotFound: It stands for nothing.
    """
    try:
        found = [str(_literal(host))] if _is_literal(host) else list(dict.fromkeys(lookup(host, port)))
    except (OSError, UnicodeError) as error:
        raise HostNotFound(f"There is no host {host}; check the address.") from error
    if not found:
        raise HostNotFound(f"There is no host {host}; check the address.")
    for text in found:
        _check_ip(ipaddress.ip_address(text.partition("%")[0]), allow_private=allow_private)
    return found


def client(
    *,
    allow_private: bool,
    timeout: "float | httpx.Timeout",
    lookup: Lookup = look_up,
    pulse: Callable[[], None] | None = None,
) -> "httpx.Client":
    """A client that goes nowhere but to good addresses; close it after use.

    It follows no redirects by itself (``response.next_request`` is the next hop, which it checks like the first), uses
    no proxy, and sends no cookies or passwords of the environment.

    Args:
        allow_private: Whether addresses that are not public may be asked.
        timeout: Seconds for each of connecting, one read and one write.
        lookup: The resolver.
        pulse: Called every half a second while a server is waited for; what it raises ends the request.

    Raises:
        AddressRefused: While a request is sent.
        HostNotFound: While a request is sent.
    """
    from pipelines.web.connections import pinned_client

    def addresses(host: str, port: int) -> list[str]:
        return resolve(host, port, allow_private=allow_private, lookup=lookup)

    def inspect(url: str) -> None:
        # Redirects to storage carry long signatures.
        check(url, allow_private=allow_private, max_length=8 * MAX_LENGTH)

    return pinned_client(inspect=inspect, addresses=addresses, timeout=timeout, pulse=pulse or (lambda: None))


def _host_and_port(authority: str) -> tuple[str, int | None]:
    literal = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]*))?", authority)
    if literal is not None:
        try:
            return str(ipaddress.IPv6Address(literal[1])), _port(literal[2])
        except ValueError as error:
            raise AddressRefused("The address holds an IPv6 address that is none.") from error
    host, colon, port = authority.partition(":")
    if colon and not re.fullmatch("[0-9]*", port):
        raise AddressRefused("The address must name a host, and a port only as a number.")
    return _ascii_name(host), _port(port)


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if len(text) > 5 or not 1 <= int(text) <= 65535:
        raise AddressRefused("The address must name a port from 1 to 65535, or none.")
    if int(text) in _OTHER_SERVICES:
        detail = f"Port {int(text)} is not for web servers; serve it from 80, 443 or another port such as 8080."
        raise AddressRefused(detail)
    return int(text)


def _ascii_name(host: str) -> str:
    """A host name as the resolver is asked for it: dots, digits and letters of other shapes are what they stand for."""
    host = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", host).lower()).replace("\u3002", ".")
    labels = host.removesuffix(".").split(".")
    try:
        found = [
            label if label.isascii() else f"xn--{label.encode('punycode').decode()}" if _is_word(label) else ""
            for label in labels
        ]
    except UnicodeError:
        found = [""]
    name = ".".join(found)
    if not all(_LABEL.fullmatch(label) for label in found) or len(name) > 253:
        raise AddressRefused("The address must name a host, such as https://example.org/talk.mp3 does.")
    return name


def _is_word(label: str) -> bool:
    return all(c in "-_" or unicodedata.category(c)[0] in "LM" or unicodedata.category(c) == "Nd" for c in label)


def _check_host(host: str, *, allow_private: bool) -> None:
    if _is_literal(host):
        _check_ip(_literal(host), allow_private=allow_private)
        return
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        # 127.1, 0x7f.1, 017700000001, 2130706433: programs disagree on what they mean.
        raise AddressRefused(
            "The address holds a number as its host; write IPv4 addresses as 192.0.2.1, or use a name."
        )
    inner = any(host == name or host.endswith(f".{name}") for name in _INNER_NAMES)
    if not allow_private and (inner or "." not in host):
        raise AddressRefused(_NOT_FOR_US)


def _is_literal(host: str) -> bool:
    try:
        _literal(host)
    except ValueError:
        return False
    return True


def _literal(host: str) -> IP:
    return ipaddress.ip_address(host)


def _check_ip(ip: IP, *, allow_private: bool) -> None:
    if {ip, *_carried(ip)} & _METADATA or not (allow_private or _public(ip)):
        raise AddressRefused(_NOT_FOR_US)


def _public(ip: IP) -> bool:
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None or ip in _TRANSLATED:
            return all(_public(inner) for inner in _carried(ip))
        return ip in _PUBLIC_6 and not any(ip in network for network in _NOT_PUBLIC_6)
    return not any(ip in network for network in _NOT_PUBLIC)


def _carried(ip: IP) -> set[IP]:
    """IPv4 addresses that an IPv6 address may stand for: mapped, compatible, translated, 6to4, Teredo."""
    if isinstance(ip, ipaddress.IPv4Address):
        return set()
    found: list[IP | None] = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _TRANSLATED or int(ip) >> 32 == 0:
        found.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return {inner for inner in found if inner is not None}
