"""Random kills, minute after minute: is anything lost, is anything done twice?

Usage: ``python -m benchmarks.soak [--minutes 15] [--every 5] [--in-flight 12] [--seed 1]``. An installation with the
default settings works off recordings of one and of three chunks; every few seconds something of it is killed and
started again: a child of a worker, a whole worker, the API, beat, Redis (which comes back empty). What a worker was at
is read from the record while it is stopped, right before it is killed; nothing but that may have been begun twice.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sqlalchemy import select

from benchmarks.machine import machine
from store.database import Database
from store.models import Job, Step
from tests import recordings
from tests.stack import Stack, until

OPTIONS = {"chunk_seconds": "30", "temperature": "0"}
ATTEMPTS = 10
"""MAX_ATTEMPTS here: with the default of 4 a chunk that is hit four times in a row would fail, as it should."""
SHOWN = 3
"""Of the jobs that are not done, so many with what the workers said of them last."""
Piece = tuple[str, str, int]


@dataclass
class Tally:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter)
    interrupted: Counter[Piece] = field(default_factory=Counter)
    waiting: dict[Piece, tuple[float, int]] = field(default_factory=dict)
    """Interrupted work that nobody has begun again: since when, and how often it had been begun."""
    recoveries: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds until interrupted work was begun again; how many workers and how many Redis were killed meanwhile."""
    deaths: list[tuple[float, bool]] = field(default_factory=list)
    """When a worker, its children or Redis were killed, and whether it was Redis."""
    jobs: dict[str, str] = field(default_factory=dict)
    """Job -> recording."""


class Soak:
    """One run.

    Args:
        stack: The installation.
        clips: Recordings by name.
        seed: Of what is killed when.
    """

    def __init__(self, stack: Stack, clips: dict[str, Path], seed: int) -> None:
        self.stack = stack
        self.clips = clips
        self.tally = Tally()
        self.random = random.Random(seed)
        self.database = Database(f"sqlite:///{stack.folder / 'data' / 'longhand.db'}")
        self.over = threading.Event()

    def running(self, worker: str) -> list[Step]:
        """What a worker is at, as the record says."""
        with self.database.read() as session:
            query = select(Step).where(Step.worker.startswith(f"{worker}@"), Step.status == "running")
            return list(session.scalars(query))

    def note(self, steps: list[Step]) -> None:
        """These are about to be interrupted."""
        for step in steps:
            piece = (step.job_id, step.stage, step.item)
            self.tally.interrupted[piece] += 1
            self.tally.waiting.setdefault(piece, (time.monotonic(), step.attempts))

    def look(self) -> None:
        """Which interrupted work was begun again?"""
        with self.database.read() as session:
            for piece, (since, attempts) in list(self.tally.waiting.items()):
                step = session.get(Step, piece)
                if step is None or step.status == "done" or step.attempts > attempts:
                    meanwhile = [redis for at, redis in self.tally.deaths if at > since]
                    emptied = sum(meanwhile)
                    self.tally.recoveries.append((time.monotonic() - since, len(meanwhile) - emptied, emptied))
                    del self.tally.waiting[piece]

    def kill(self) -> None:
        """Kill something and start it again."""
        what = self.random.choices(["child", "worker", "web", "beat", "net", "redis"], [6, 6, 2, 1, 1, 1])[0]
        stack = self.stack
        if what in ("child", "worker"):
            self.tally.deaths.append((time.monotonic(), False))
            name = self.random.choice(["cpu", "gpu1", "gpu2"])
            group = stack.processes[name].pid
            os.killpg(group, signal.SIGSTOP)
            held = self.running(name)
            if what == "worker":
                self.note(held)
                stack.kill(name)
                stack.start_worker(name, name.rstrip("12"), 1 if name.startswith("gpu") else stack.cpu_children)
            else:
                # Which of two children holds what the record does not say, so both go.
                self.note(held)
                for child in stack.children(name):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child.pid, signal.SIGKILL)
                os.killpg(group, signal.SIGCONT)
        elif what == "redis":
            self.tally.deaths.append((time.monotonic(), True))
            stack.redis.kill()
            stack.redis.start()
        else:
            stack.kill(what)
            {"web": stack.start_web, "beat": stack.start_beat}.get(
                what, lambda: stack.start_worker("net", "net", stack.net_threads, pool="threads")
            )()
        self.tally.kills[what] += 1

    def send(self, number: int) -> None:
        """Send a recording, again until there is an answer."""
        name = self.random.choice(list(self.clips))
        files = {"file": (name, self.clips[name].read_bytes())}

        def accepted() -> str:
            headers = {"Idempotency-Key": f"soak {number}"}
            answer = self.stack.client.post("/v1/jobs", headers=headers, files=files, data=OPTIONS)
            if answer.status_code in (409, 429, 503):
                time.sleep(float(answer.headers.get("Retry-After", 1)))
                return ""
            return str(answer.raise_for_status().json()["id"])

        self.tally.jobs[until(accepted, 300, "a job to be accepted", (httpx.TransportError,))] = name

    def active(self) -> int:
        """Jobs that are not over."""
        with self.database.read() as session:
            return len(session.scalars(select(Job.id).where(Job.status.in_(("queued", "running")))).all())

    def watch(self) -> None:
        """Look for recoveries until it is over."""
        while not self.over.wait(0.1):
            self.look()

    def texts(self, name: str) -> bytes:
        """What comes out while nothing happens."""
        done = self.stack.run(self.clips[name], **OPTIONS)
        return self.stack.client.get(f"/v1/jobs/{done['id']}/transcript.json").content

    def verdict(self, expected: dict[str, bytes]) -> int:
        """Print what became of all jobs; how many things are wrong."""
        states: Counter[str] = Counter()
        different = 0
        for job_id, name in self.tally.jobs.items():
            job = self.stack.wait(job_id, 300)
            states[job["status"]] += 1
            if job["status"] == "done":
                found = self.stack.client.get(f"/v1/jobs/{job_id}/transcript.json").content
                different += found != expected[name]
            elif states.total() - states["done"] <= SHOWN:
                print("  not done:", job_id, job["error"])
                for worker in ("cpu", "gpu1", "gpu2", "net"):
                    said = self.stack.log(worker)
                    if (at := said.rfind(job_id)) >= 0:
                        print(f"  {worker}: {said[max(0, at - 300) : at + 1500]}")
        self.look()
        doubled = 0
        with self.database.read() as session:
            made = len(session.scalars(select(Job.id)).all()) - len(self.clips)
            for step in session.scalars(select(Step)):
                again = max(0, step.attempts - 1)
                doubled += max(0, again - self.tally.interrupted[(step.job_id, step.stage, step.item)])
        lost = len(self.tally.jobs) - states["done"]
        kills = ", ".join(f"{n} {what}" for what, n in self.tally.kills.most_common())
        print(f"jobs {len(self.tally.jobs)}: {dict(states)}; made more than once: {made - len(self.tally.jobs)}")
        print(f"kills {self.tally.kills.total()}: {kills}; pieces of work interrupted: {len(self.tally.recoveries)}")
        print(f"lost {lost}, different transcripts {different}, done twice without need {doubled}")
        found = sorted(self.tally.recoveries, reverse=True) or [(0.0, 0, 0)]
        print(f"begun again after {found[len(found) // 2][0]:.1f} s (median)")
        for what, which in (
            ("nothing else", [f[0] for f in found if not f[1] and not f[2]]),
            ("no Redis", [f[0] for f in found if not f[2]]),
        ):
            print(f"  of {len(which)} with {what} killed meanwhile, at the latest {max(which, default=0.0):.1f} s")
        slowest = (f"{seconds:.1f} s ({workers} workers, {redis} Redis)" for seconds, workers, redis in found[:8])
        print("  slowest (killed meanwhile):", ", ".join(slowest))
        return lost + different + doubled + made - len(self.tally.jobs)


def main() -> None:
    """Measure and print; the exit code says whether anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--every", type=float, default=5, help="mean seconds between two kills")
    parser.add_argument("--in-flight", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {f"{seconds} s": folder / f"{seconds}.wav" for seconds in (6, 70)}
        for (_, path), seconds in zip(clips.items(), (6, 70), strict=True):
            recordings.recording(seconds, seed=seconds).write(path)
        with Stack(folder, gpu_workers=2, beat=True, MAX_ATTEMPTS=str(ATTEMPTS)) as stack:
            soak = Soak(stack, clips, chosen.seed)
            expected = {clip: soak.texts(clip) for clip in clips}
            watcher = threading.Thread(target=soak.watch)
            watcher.start()
            end = time.monotonic() + chosen.minutes * 60
            sender = threading.Thread(target=_send, args=(soak, chosen.in_flight, end))
            sender.start()
            while time.monotonic() < end:
                time.sleep(soak.random.expovariate(1 / chosen.every))
                soak.kill()
            sender.join()
            stack.wait_ready()
            wrong = soak.verdict(expected)
            soak.over.set()
            watcher.join()
            soak.database.engine.dispose()
    sys.exit(1 if wrong else 0)


def _send(soak: Soak, in_flight: int, end: float) -> None:
    number = 0
    while time.monotonic() < end:
        if soak.active() >= in_flight:
            time.sleep(0.2)
            continue
        soak.send(number)
        number += 1


if __name__ == "__main__":
    main()
