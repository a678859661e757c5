"""A client of the API: streamed uploads, and every error as one sentence with an exit code."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import httpx

from cli import uploading
from cli.errors import ApiError as ApiError
from cli.errors import Exit as Exit
from cli.errors import problem
from cli.uploading import (
    CONNECT_SECONDS,
    LONGEST_PAUSE_SECONDS,
    OUTAGE_SECONDS,
    UPLOAD_SECONDS,
    Patience,
    Uploads,
    Watched,
)
from config.settings import is_loopback

Job = dict[str, Any]
"""A job as the API shows it (docs: GET /v1/jobs/<id>)."""
Key = dict[str, Any]
"""An API key as the API shows it (docs: GET /v1/keys)."""
FINAL = frozenset({"done", "failed", "cancelled"})
ANSWER_SECONDS = 60.0
BUSY_TRIES = 6


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

        A server that is full is tried again when it says so. A large recording survives broken connections.

        Args:
            path: The recording.
            options: Fields of POST /v1/jobs.
            sent: Told how many bytes of how many are on their way.

        Raises:
            ApiError: The server refused it or cannot be reached.
            OSError: The file cannot be read.
        """
        if path.stat().st_size > uploading.RESUMABLE_BYTES:
            return self._submit_upload(Uploads(self._request).bring(path, sent), options)

        def send() -> Job:
            with path.open("rb") as file:
                files = {"file": (path.name, cast(BinaryIO, Watched(file, sent)), "application/octet-stream")}
                timeout = httpx.Timeout(UPLOAD_SECONDS, connect=CONNECT_SECONDS)
                return self._json("POST", "/v1/jobs", data=dict(options), files=files, timeout=timeout)

        return _as_soon_as_possible(send)

    def _submit_upload(self, upload_id: str, options: Mapping[str, str]) -> Job:
        """Make a job of a finished upload, once, however often the connection breaks."""
        headers, patience = {"Idempotency-Key": uuid.uuid4().hex}, Patience(OUTAGE_SECONDS)
        while True:
            try:
                return self._json("POST", "/v1/jobs", data={**options, "upload": upload_id}, headers=headers)
            except ApiError as error:
                if not error.passing:
                    Uploads(self._request).abandon(upload_id)
                    raise
                patience.wait(error)

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
                if not error.passing or time.monotonic() - away_since > OUTAGE_SECONDS:
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
            pause = min(error.retry_after, LONGEST_PAUSE_SECONDS)
        time.sleep(pause)
    raise AssertionError("unreachable")


def _segment(part: str) -> str:
    """A part of a path that cannot lead elsewhere."""
    from urllib.parse import quote

    return quote(part, safe="")
