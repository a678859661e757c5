"""A client of the API: streamed uploads, and every error as one sentence with an exit code."""

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import httpx

from config.settings import is_loopback

Job = dict[str, Any]
"""A job as the API shows it (docs: GET /v1/jobs/<id>)."""
Key = dict[str, Any]
"""An API key as the API shows it (docs: GET /v1/keys)."""
FINAL = frozenset({"done", "failed", "cancelled"})
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
UPLOAD_SECONDS = 600.0
"""How long one piece of an upload may take, and the server to answer once it has all of it."""
OUTAGE_SECONDS = 60.0
"""How long a server that went away in the middle of a job is waited for."""
BUSY_TRIES = 6
LONGEST_PAUSE = 60.0


class Exit(IntEnum):
    """Exit codes of `longhand`."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    """The key is missing or wrong."""
    INTERRUPTED = 130


class ApiError(Exception):
    """The server said no, or nothing; the message is one sentence that says what to do.

    Args:
        detail: The sentence.
        code: The API's stable code, or `unreachable`.
        exit_code: What the command ends with.
        retry_after: Seconds after which to try again, if the server says so.
    """

    def __init__(self, detail: str, *, code: str, exit_code: Exit, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.exit_code = exit_code
        self.retry_after = retry_after


class Client:
    """The API at an address. Safe to share between threads.

    Args:
        url: Address of the server, such as http://127.0.0.1:8081.
        key: API key; None: none is sent.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        self.key = key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        # A proxy for the web must not be asked for a server on this very machine.
        trust = not is_loopback(urlsplit(self.url).hostname or "")
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=trust)
        except (httpx.InvalidURL, ValueError) as error:
            raise ApiError(f"{url} is no web address.", code="invalid_url", exit_code=Exit.USAGE) from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, path: Path, options: Mapping[str, str], *, sent: Callable[[int, int], None] | None = None) -> Job:
        """Upload a recording and make a job of it; memory does not grow with the file.

        A server that is full is tried again when it says so.

        Args:
            path: The recording.
            options: Fields of POST /v1/jobs.
            sent: Told how many bytes of how many are on their way.

        Raises:
            ApiError: The server refused it or cannot be reached.
            OSError: The file cannot be read.
        """

        def send() -> Job:
            with path.open("rb") as file:
                files = {"file": (path.name, cast(BinaryIO, Watched(file, sent)), "application/octet-stream")}
                timeout = httpx.Timeout(UPLOAD_SECONDS, connect=CONNECT_SECONDS)
                return self._json("POST", "/v1/jobs", data=dict(options), files=files, timeout=timeout)

        return _as_soon_as_possible(send)

    def submit_address(self, url: str, options: Mapping[str, str]) -> Job:
        """Make a job of a recording that the server fetches; otherwise like ``submit``."""
        return _as_soon_as_possible(lambda: self._json("POST", "/v1/jobs", data={**options, "url": url}))

    def job(self, job_id: str, *, wait: float = 0) -> Job:
        """A job; ``wait`` lets the server hold the answer back until the job ends, for that many seconds at most."""
        return self._json("GET", f"/v1/jobs/{_segment(job_id)}", params={"wait": f"{wait:g}"} if wait else None)

    def follow(self, job_id: str, *, every: float = 1.0) -> Iterator[Job]:
        """The job again and again, the last time when it has ended; a short outage of the server is sat out.

        Raises:
            ApiError: The server said no, or stayed away.
        """
        away_since: float | None = None
        while True:
            asked = time.monotonic()
            try:
                job = self.job(job_id, wait=every)
            except ApiError as error:
                away_since = away_since or time.monotonic()
                passing = error.exit_code == Exit.UNREACHABLE or error.retry_after is not None
                if not passing or time.monotonic() - away_since > OUTAGE_SECONDS:
                    raise
                time.sleep(min(error.retry_after or 1.0, 5.0))
                continue
            away_since = None
            yield job
            if job["status"] in FINAL:
                return
            # Where the server does not hold answers back (all its places to wait are taken), do not ask in a circle.
            time.sleep(max(0.0, 0.2 - (time.monotonic() - asked)))

    def jobs(self, *, status: str | None = None, limit: int = 20) -> list[Job]:
        """The newest jobs."""
        found: list[Job] = []
        cursor: str | None = None
        while len(found) < limit:
            asked = {"status": status, "limit": str(min(limit - len(found), 100)), "cursor": cursor}
            page = self._json("GET", "/v1/jobs", params={name: value for name, value in asked.items() if value})
            found += page["jobs"]
            cursor = page.get("next_cursor")
            if not cursor:
                break
        return found[:limit]

    def cancel(self, job_id: str) -> Job:
        """Cancel a job."""
        return self._json("POST", f"/v1/jobs/{_segment(job_id)}/cancel")

    def delete(self, job_id: str) -> None:
        """Delete a job, its recording and its results."""
        self._request("DELETE", f"/v1/jobs/{_segment(job_id)}")

    def result(self, job_id: str, format_: str, options: Mapping[str, str] | None = None) -> bytes:
        """The transcript in a format, as UTF-8."""
        path = f"/v1/jobs/{_segment(job_id)}/transcript.{_segment(format_)}"
        return self._request("GET", path, params=dict(options or {})).content

    def api_keys(self) -> list[Key]:
        """The API keys, newest first."""
        found: list[Key] = self._json("GET", "/v1/keys")["keys"]
        return found

    def create_key(self, asked: Mapping[str, Any]) -> Key:
        """Make an API key; fields of POST /v1/keys."""
        return self._json("POST", "/v1/keys", json=dict(asked))

    def revoke_key(self, key_id: str) -> None:
        """End an API key."""
        self._request("DELETE", f"/v1/keys/{_segment(key_id)}")

    def health(self, path: str = "/health") -> tuple[int, dict[str, Any]]:
        """What a health address says: status code and content; 503 is an answer, too.

        Raises:
            ApiError: The server cannot be reached.
        """
        answer = self._send("GET", path)
        content: Any = {}
        with contextlib.suppress(ValueError):
            content = answer.json()
        return answer.status_code, content if isinstance(content, dict) else {}

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer = self._request(method, path, **request)
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise ApiError(f"What answers at {self.url} is not Longhand.", code="internal", exit_code=Exit.UNREACHABLE)
        return content

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        answer = self._send(method, path, **request)
        if answer.is_success:
            return answer
        raise problem(answer)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx.TimeoutException as error:
            sentence = f"The server at {self.url} did not answer in time; try again, or see its log."
            raise ApiError(sentence, code="unreachable", exit_code=Exit.UNREACHABLE) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            sentence = (
                f"The server at {self.url} cannot be reached; start it with `longhand up`, or name another with --url."
            )
            raise ApiError(sentence, code="unreachable", exit_code=Exit.UNREACHABLE) from error


def _as_soon_as_possible(send: Callable[[], Job]) -> Job:
    """Send until a server that is full has room."""
    for attempt in range(BUSY_TRIES):
        try:
            return send()
        except ApiError as error:
            if error.retry_after is None or attempt == BUSY_TRIES - 1:
                raise
            pause = min(error.retry_after, LONGEST_PAUSE)
        time.sleep(pause)
    raise AssertionError("unreachable")


def problem(answer: httpx.Response) -> ApiError:
    """An answer that is an error, as the sentence it carries."""
    content: Any = None
    with contextlib.suppress(ValueError):
        content = answer.json()
    content = content if isinstance(content, dict) else {}
    detail = content.get("detail") or f"The server answered {answer.status_code} {answer.reason_phrase}."
    pause: float | None = None
    with contextlib.suppress(ValueError):
        pause = max(0.0, float(answer.headers.get("Retry-After", "")))
    refused = content.get("code") in {"missing_key", "invalid_key"} or answer.status_code == 401
    if refused:
        detail = f"{detail} Give it with --key or LONGHAND_KEY." if "--key" not in detail else detail
    exit_code = Exit.REFUSED if refused else Exit.FAILED
    retry = pause if answer.status_code in {429, 503} else None
    return ApiError(str(detail), code=str(content.get("code", "internal")), exit_code=exit_code, retry_after=retry)


class Watched(io.RawIOBase):
    """A file that tells how much of it was read.

    Args:
        file: Opened for reading bytes.
        told: Told bytes read and bytes in all.
    """

    def __init__(self, file: BinaryIO, told: Callable[[int, int], None] | None) -> None:
        self._file = file
        self._told = told
        self._total = file.seek(0, io.SEEK_END)
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Read, and tell."""
        data = self._file.read(size)
        if self._told is not None:
            self._told(self._file.tell(), self._total)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()

    def fileno(self) -> int:
        """The file's descriptor, by which the HTTP library learns its size."""
        return self._file.fileno()

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be moved in."""
        return True


def _segment(part: str) -> str:
    """A part of a path that cannot lead elsewhere."""
    from urllib.parse import quote

    return quote(part, safe="")
