"""A large resumable upload whose connection breaks in the middle: how long it takes, and what the web process grows by.

Usage: ``python -m benchmarks.resumable [--megabytes 2000] [--cut 0.6]``. The bytes come from a real file; the peak of
every web process is read from the kernel (VmHWM).
"""

import argparse
import hashlib
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.machine import forget_peak, machine, peak_mb
from tests.stack import KEY, Stack, until

MB = 1 << 20
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


def make(path: Path, megabytes: int) -> str:
    """Write a file of which no two blocks are equal; its SHA-256."""
    digest = hashlib.sha256()
    noise = bytes(range(256)) * (MB // 256)
    with path.open("wb") as stream:
        for n in range(megabytes):
            block = n.to_bytes(8, "big") + noise[8:]
            stream.write(block)
            digest.update(block)
    return digest.hexdigest()


def cut_off(stack: Stack, url: str, path: Path, size: int, sent: int) -> None:
    """Send a request for all of it, and hang up after ``sent`` bytes."""
    head = {**TUS, **BYTES, "Host": "localhost", "Authorization": f"Bearer {KEY}"}
    head |= {"Upload-Offset": "0", "Content-Length": str(size)}
    where = url[url.index("/v1/") :]
    with socket.create_connection(("127.0.0.1", stack.port)) as client, path.open("rb") as stream:
        lines = [f"PATCH {where} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        client.sendfile(stream, count=sent)


def offset(stack: Stack, url: str) -> int:
    """Bytes that the server has."""
    return int(stack.client.head(url, headers=TUS).raise_for_status().headers["Upload-Offset"])


def rest(path: Path, start: int) -> Iterator[bytes]:
    """The file from some byte on."""
    with path.open("rb") as stream:
        stream.seek(start)
        while block := stream.read(MB):
            yield block


def measure(stack: Stack, path: Path, digest: str, cut: float) -> None:
    """Upload, break off, resume, print."""
    size = path.stat().st_size
    web = psutil.Process(stack.processes["web"].pid)
    pids = [web.pid, *(child.pid for child in web.children())]
    before = {pid: psutil.Process(pid).memory_info().rss / 2**20 for pid in pids}
    for pid in pids:
        forget_peak(pid)
    answer = stack.client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(size)}).raise_for_status()
    url = answer.headers["Location"]
    started = time.perf_counter()
    cut_off(stack, url, path, size, int(size * cut))
    broken = time.perf_counter() - started
    until(lambda: offset(stack, url) == int(size * cut), 30, "what was sent to be kept")
    there = offset(stack, url)
    resumed = time.perf_counter()
    length = {"Content-Length": str(size - there)}
    headers = {**TUS, **BYTES, "Upload-Offset": str(there), **length}
    stack.client.patch(url, headers=headers, content=rest(path, there), timeout=600).raise_for_status()
    seconds = time.perf_counter() - resumed
    name = url.rpartition("/")[2]
    job = stack.client.post("/v1/jobs", data={"upload": name}).raise_for_status().json()
    stack.client.post(f"/v1/jobs/{name}/cancel")
    assert (job["source"]["bytes"], job["source"]["sha256"]) == (size, digest)
    grown = max(peak_mb(pid) - before[pid] for pid in pids)
    print(f"{size / 1e9:.2f} GB: cut at {there / size:.1%} after {broken:.1f} s, the rest in {seconds:.1f} s")
    print(f"a web process grew by {grown:.1f} MB; bytes and SHA-256 of the job are the file's")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--cut", type=float, default=0.6)
    chosen = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "large.bin"
        digest = make(path, chosen.megabytes)
        with Stack(Path(name) / "stack", gpu_workers=1) as stack:
            measure(stack, path, digest, chosen.cut)


if __name__ == "__main__":
    main()
