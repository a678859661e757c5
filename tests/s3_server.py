"""A private S3 for the tests that need one: moto's server, a process of its own, which keeps everything in memory."""

import importlib.util
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Self

import botocore.session
from botocore.config import Config

from tests.stack import until

REGION = "eu-central-1"
BUCKET = "longhand-files"
PREFIX = "jobs"
ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
_LISTENS = re.compile(r"Running on https?://127\.0\.0\.1:(\d+)")
_REQUEST = re.compile(r'"(?:\x1b\[\d+m)*([A-Z]+) (/\S*) HTTP/1\.1(?:\x1b\[0m)?" (\d{3})')
"""A line of the log; what is not plainly well stands in colours."""
_UNCHECKED = 4
"""Requests that moto takes from anybody: those that make the bucket, the user, its policy and its key."""


def s3_lacks() -> str | None:
    """Why there can be no S3 here; None: there can."""
    if importlib.util.find_spec("moto") and importlib.util.find_spec("flask_cors") and importlib.util.find_spec("s3fs"):
        return None
    return "needs moto's server: pip install -c requirements/constraints.txt -r requirements/dev.txt"


class S3Server:
    """An S3 of our own with a bucket and one user, whose signature it checks; what he may do it knows too little of.

    Args:
        certificate: Files with a certificate for 127.0.0.1 and its key: it speaks TLS.
    """

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self._certificate = certificate
        self.folder = Path(tempfile.mkdtemp(prefix="lh-s3-"))
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.key = self.secret = ""

    def start(self) -> Self:
        # The port is the kernel's choice; the log tells which.
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        if self._certificate:
            command += ["-c", str(self._certificate[0]), "-k", str(self._certificate[1])]
        env = {"PYTHONPATH": ":".join(filter(None, sys.path)), "INITIAL_NO_AUTH_ACTION_COUNT": str(_UNCHECKED)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, env=env
            )
        found = until(self._listening, 60, f"our S3; its log is {self.log}")
        self.port = int(found.group(1))
        anybody = ("anybody", "anything")
        self.client(*anybody).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        iam = self.client(*anybody, service="iam")
        iam.create_user(UserName="longhand")
        iam.put_user_policy(UserName="longhand", PolicyName="longhand", PolicyDocument=ALL)
        made = iam.create_access_key(UserName="longhand")["AccessKey"]
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]
        return self

    @property
    def url(self) -> str:
        return f"http{'s' if self._certificate else ''}://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """What Longhand's processes are told."""
        return {
            "STORAGE_URL": f"s3://{BUCKET}/{PREFIX}",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
        }

    def client(self, key: str = "", secret: str = "", *, service: str = "s3") -> Any:
        """Amazon's own client, for a look from outside."""
        return botocore.session.Session().create_client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key or self.key,
            aws_secret_access_key=secret or self.secret,
            verify=str(self._certificate[0]) if self._certificate else None,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def names(self, prefix: str = "") -> list[str]:
        """The objects there are, unfinished uploads too."""
        found = self.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        unfinished = self.client().list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
        return sorted(one["Key"] for one in [*found.get("Contents", []), *unfinished.get("Uploads", [])])

    def mark(self) -> int:
        """A place in the list of requests."""
        return self.log.stat().st_size

    def requests(self, since: int = 0) -> list[tuple[str, str, int]]:
        """Method, address and status of each request since a mark."""
        with self.log.open("rb") as log:
            log.seek(since)
            text = log.read().decode(errors="replace")
        return [(method, address, int(status)) for method, address, status in _REQUEST.findall(text)]

    def counted(self, since: int = 0, *, about: str = "") -> Counter[str]:
        """How many requests of each kind there were since a mark, as they are paid for."""
        return Counter(_kind(method, address) for method, address, _ in self.requests(since) if about in address)

    def pause(self) -> None:
        """It answers nobody; connections stay."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listening(self) -> re.Match[str] | None:
        assert self.process is not None and self.process.poll() is None, f"our S3 ended: {self.log.read_text()}"
        return _LISTENS.search(self.log.read_text())


def _kind(method: str, address: str) -> str:
    if method == "GET" and "list-type=2" in address:
        return "LIST"
    return method
