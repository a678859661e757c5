"""Whether the API answers, asked by a process that tells its figures and is not the API itself."""

import ssl
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

PROBE = "api"
"""Name of the question."""
_SECONDS = 2.0
"""For the connection, and for each part of the answer: less than /metrics waits for its sources."""


def answers(url: str) -> None:
    """Ask ``/health/live`` under an address; no proxy is asked and no redirection followed.

    Raises:
        OSError: Nobody answers, or not in time, or something else than that it lives.
        http.client.HTTPException: What answers is no web server.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        secure = ssl.create_default_context()
        connection: HTTPConnection = HTTPSConnection(host, parts.port, timeout=_SECONDS, context=secure)
    else:
        connection = HTTPConnection(host, parts.port, timeout=_SECONDS)
    try:
        connection.request("GET", f"{parts.path}/health/live", headers={"User-Agent": "longhand-metrics"})
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise ConnectionError(f"the API answers {status}")
