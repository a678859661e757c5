"""Whether many idle streams of events and waiting requests keep short requests waiting, by gunicorn's worker class.

Usage: ``python -m benchmarks.streams [--streams 500] [--seconds 15] [--rounds 2]``. For each worker class, in turn: the
time of ``GET /v1/jobs/<id>`` with nothing else going on, with that many streams of jobs that stay queued, with as many
``?wait=`` requests, and with half of each; the processor time that the server takes meanwhile when nobody asks for
anything; and its memory. The worker class gevent needs ``pip install gevent``.
"""

import argparse
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.machine import machine
from benchmarks.web import AUTH, Web

CLASSES = {
    "gthread": ("--worker-class", "gthread"),
    "gevent": ("--worker-class", "gevent", "--worker-connections", "2000"),
}
JOBS = 20
"""Over which the streams are spread."""


@contextmanager
def held(web: Web, paths: list[str]) -> Iterator[Callable[[], int]]:
    """As many open requests as there are paths; tells how many of them are being answered or were."""
    chosen = selectors.DefaultSelector()
    answered: set[int] = set()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            for key, _ in chosen.select(0.5):
                part = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                if part.startswith(b"HTTP/1.1") and b" 200 " not in part[:20]:
                    raise RuntimeError(part[:200].decode())
                answered.add(key.fd)
                if not part:
                    chosen.unregister(key.fileobj)

    sockets = []
    for path in paths:
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in AUTH.items())]
        opened = socket.create_connection(("127.0.0.1", web.port))
        opened.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        chosen.register(opened, selectors.EVENT_READ)
        sockets.append(opened)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield lambda: len(answered)
    finally:
        ended.set()
        reader.join()
        chosen.close()
        for opened in sockets:
            opened.close()


def quantiles(times: list[float]) -> str:
    """Median, p95 and p99 in milliseconds."""
    cuts = statistics.quantiles(times, n=100)
    return (
        f"p50 {cuts[49] * 1e3:6.2f}  p95 {cuts[94] * 1e3:6.2f}  p99 {cuts[98] * 1e3:6.2f} ms  ({len(times)} requests)"
    )


def compare(name: str, *, streams: int, seconds: float, threads: int) -> None:
    """Measure one worker class and print."""
    with Web(*CLASSES[name], WEB_THREADS=str(threads), SYNC_TIMEOUT_SECONDS="300") as web:
        path = f"/v1/jobs/{web.send()}"
        half = streams // 2
        cases = {
            "alone": (0, 0),
            f"{streams} streams": (streams, 0),
            f"{streams} waiting": (0, streams),
            f"{half} + {half}": (half, half),
        }
        web.times(path, seconds=2)
        print(f"{name}, {threads} threads; memory {_memory(web):.0f} MB")
        for case, (following, waiting) in cases.items():
            print(f"  {case:12} {measured(web, path, following, waiting, seconds)}", flush=True)


def measured(web: Web, path: str, following: int, waiting: int, seconds: float) -> str:
    """One case, in words."""
    jobs = [web.send() for _ in range(JOBS)]
    paths = [f"/v1/jobs/{jobs[n % JOBS]}/events" for n in range(following)]
    paths += [f"/v1/jobs/{jobs[n % JOBS]}?wait=300" for n in range(waiting)]
    with held(web, paths) as answered:
        began = time.perf_counter()
        while answered() < following:
            time.sleep(0.01)
        opened = time.perf_counter() - began
        time.sleep(6 if waiting else 1)
        before = _processor(web)
        time.sleep(10)
        idle = (_processor(web) - before) / 10
        found = quantiles(web.times(path, seconds=seconds, pause=0.005))
        memory = _memory(web)
        for job in jobs:  # ends the streams and the waiting
            web.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        time.sleep(2)
    return f"{found}; begun in {opened:.1f} s, idle {idle * 100:.1f} % of a core, {memory:.0f} MB"


def _memory(web: Web) -> float:
    return max(p.memory_info().rss for p in web.workers()) / 2**20


def _processor(web: Web) -> float:
    return sum(sum(p.cpu_times()[:2]) for p in web.workers())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1000)
    parser.add_argument("--classes", default=",".join(CLASSES))
    chosen = parser.parse_args()
    print(machine())
    for _ in range(chosen.rounds):
        for name in chosen.classes.split(","):
            compare(name, streams=chosen.streams, seconds=chosen.seconds, threads=chosen.threads)


if __name__ == "__main__":
    main()
