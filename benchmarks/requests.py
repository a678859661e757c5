"""How many requests the API answers in a second, as a ratio to an empty Flask route under the same gunicorn.

Usage: ``python -m benchmarks.requests [--seconds 5] [--rounds 5] [--clients 8]``. One server process with our
configuration; the routes take turns within one run, each asked by the same number of clients that send one request
after the other. The clients are processes of their own on the same machine and take their share of it from every route
alike.
"""

import argparse
import http.client
import multiprocessing
import statistics
import time
from typing import Any

from benchmarks.machine import machine
from benchmarks.web import AUTH, Web

_BOUNDARY = "B0"
_RECORDING = bytes(range(256)) * 40
_FORM = b"".join(
    (
        b'--B0\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n',
        b"Content-Type: audio/wav\r\n\r\n",
        _RECORDING,
        b"\r\n--B0--\r\n",
    )
)


def ask(port: int, method: str, path: str, seconds: float) -> int:
    """How many requests one client got answered."""
    body = _FORM if method == "POST" else None
    headers = {**AUTH, **({"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"} if body else {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path} was answered with {answer.status}")
        count += 1
    connection.close()
    return count


def throughput(pool: Any, clients: int, web: Web, method: str, path: str, seconds: float) -> float:
    """Requests a second of all clients together."""
    asked = pool.starmap(ask, [(web.port, method, path, seconds)] * clients)
    return float(sum(asked)) / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    chosen = parser.parse_args()
    print(machine())
    figures: dict[str, list[float]] = {"empty": [], "GET": [], "POST": [], "list": []}
    with multiprocessing.Pool(chosen.clients) as pool, Web() as web, Web(app="benchmarks.empty:app") as other:
        job = web.send()
        for _ in range(60):
            web.send()
        asked = {
            "empty": (other, "GET", "/health/live"),
            "GET": (web, "GET", f"/v1/jobs/{job}"),
            "POST": (web, "POST", "/v1/jobs"),
            "list": (web, "GET", "/v1/jobs?limit=50"),
        }
        for server, method, path in asked.values():  # warm
            throughput(pool, chosen.clients, server, method, path, 0.5)
        for _ in range(chosen.rounds):
            for name, (server, method, path) in asked.items():
                figures[name].append(throughput(pool, chosen.clients, server, method, path, chosen.seconds))
    names = {
        "empty": "an empty route",
        "GET": "GET /v1/jobs/<id>",
        "POST": "POST /v1/jobs",
        "list": "GET /v1/jobs (50)",
    }
    for name, found in figures.items():
        ratios = [one / base for one, base in zip(found, figures["empty"], strict=True)]
        print(
            f"{names[name]:20} {statistics.median(found):7.0f} a second, ratio {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )


if __name__ == "__main__":
    main()
