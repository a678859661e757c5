"""Longhand's jobs going through simulated queues.

What runs next is decided as it really is: the stages and their queues are ``pipelines.stage.discover``'s, which can run
and which follow each other ``tasks.order``'s, windows of chunks and numbers of turns ``tasks.capacity``'s. Written anew
here are the turns of accounts, since ``store.turns`` keeps them in a database, and what ``tasks.flow`` sends.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.demand import Recording
from benchmarks.queueing import INFINITY, Message, Queue, Stations
from benchmarks.seen import QUEUES, Seen
from benchmarks.stage_order import Kind, follows, planned, ready
from config.settings import Settings
from pipelines.silence import _how_many
from pipelines.stage import Stage
from store.events import Worker
from store.jobs import PRIORITIES
from store.models import WHOLE
from store.turns import NET, PREPARE, WORK
from tasks.app import CPU
from tasks.capacity import Capacity


@dataclass(frozen=True)
class StageTime:
    """What a stage takes: of a recording, or of a chunk."""

    fixed: float
    """Seconds, however short."""
    per_minute: float = 0.0
    """Seconds more for each minute of audio."""

    def seconds(self, minutes: float) -> float:
        """Of so much audio."""
        return self.fixed + self.per_minute * minutes


@dataclass(frozen=True)
class Installation:
    """What there is to work with."""

    workers: Mapping[str, int]
    """Processes by queue; of ``net``, threads."""
    times: Mapping[str, StageTime]
    """By stage; ``finish`` is the end of a job."""
    cores: float = INFINITY
    """That all of them share; infinite: as many as are wanted."""
    model_threads: float = 1.0
    """Cores that a transcription wants."""
    handover: float = 0.0
    """Seconds for which a piece of work holds its process beyond the work itself."""
    chunk_seconds: float = 600.0
    account_jobs: int = 0
    """As ACCOUNT_JOBS."""


@dataclass(eq=False, slots=True)
class _Job:
    recording: Recording
    planned: Mapping[str, Stage]
    chunks: list[float]
    lane: str | None = None
    admitted: bool = False
    asked_at: float = 0.0
    turn_seconds: float = 0.0
    finished: frozenset[str] = frozenset()
    sent: set[str] = field(default_factory=set)
    next_chunk: int = 0
    under_way: int = 0
    begun: bool = False
    number: int = 0


class _Presence:
    """The workers as the program hears of them."""

    def __init__(self, workers: Mapping[str, int]) -> None:
        self._workers = [Worker(name, [name], [], children=number) for name, number in workers.items() if number]

    def workers(self) -> list[Worker]:
        return self._workers


class Model:
    """One installation and its jobs.

    Args:
        installation: What there is.
        own: Seconds of single pieces of work that take another time than their stage usually does, by the moment at
            which the recording came in, stage and chunk (-1: the stage is not in chunks).
    """

    def __init__(self, installation: Installation, own: Mapping[tuple[float, str, int], float] | None = None) -> None:
        self.seen = Seen()
        self._has = installation
        self._own = own or {}
        cores = {"net": 0.0, "gpu": installation.model_threads}
        queues = {name: Queue(installation.workers.get(name, 0), cores.get(name, 1.0)) for name in QUEUES}
        self._stations = Stations(queues, cores=installation.cores)
        settings = {"account_jobs": installation.account_jobs, "net_threads": 2}
        made: Any = Settings(_env_file=None, **settings)  # type: ignore[arg-type,call-arg]
        presence: Any = _Presence(installation.workers)
        capacity = Capacity(presence, made)
        self._limits = capacity.turns()
        self._windows = {name: capacity.window(name) for name in QUEUES}
        self._lines: defaultdict[int, dict[tuple[str, int], list[tuple[float, int, _Job]]]] = defaultdict(dict)
        self._taken: defaultdict[tuple[int, str], int] = defaultdict(int)
        self._working: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._number = 0
        self._jobs: dict[int, _Job] = {}

    def run(self, recordings: Iterable[Recording], *, until: float = INFINITY) -> Seen:
        """Let them all come in and be done; or stop looking at a moment, whatever is still to do."""
        self._stations.run(self._arrivals(recordings), until=until)
        self._give_up()
        self.seen.busy = {name: queue.busy_seconds for name, queue in self._stations.queues.items()}
        return self.seen

    def _arrivals(self, recordings: Iterable[Recording]) -> Iterator[tuple[float, Any]]:
        for recording in recordings:
            self.seen.seconds = recording.at
            yield recording.at, partial(self._arrive, recording)

    def _arrive(self, recording: Recording) -> None:
        stages = planned((recording.fetched, recording.language, recording.diarise))
        job = _Job(recording, stages, chunks(recording.minutes, self._has.chunk_seconds), number=self.seen.jobs)
        self.seen.jobs += 1
        self._jobs[job.number] = job
        self._go(job)

    def _give_up(self) -> None:
        """Count what still waits, or is under way, as if it began and ended now: it takes at least as long."""
        for queue in self._stations.queues.values():
            for _, _, message in sorted(queue.waiting, key=lambda one: one[:2]):
                if message.begins is not None:
                    message.begins(self._stations.now - message.sent_at)
        for job in self._jobs.values():
            waited = self._stations.now - job.recording.at
            if not job.begun:
                self.seen.begins.add(job.recording.at, waited)
            if not job.next_chunk:
                self.seen.transcriptions.add(job.recording.at, waited)
            turn = 0.0 if job.admitted else self._stations.now - job.asked_at
            self.seen.turns.add(job.recording.at, job.turn_seconds + turn)
            self.seen.ends(job.recording.at, job.recording.minutes, self._stations.now)
        self.seen.unfinished = len(self._jobs)

    def _go(self, job: _Job) -> None:
        lane = self._lane(job)
        if job.lane == lane and job.admitted:
            self._send(job)
        else:
            self._ask(job, lane)

    def _lane(self, job: _Job) -> str:
        """As ``tasks.flow``."""
        queues = {stage.queue for stage in ready(_key(job), job.finished)}
        if job.lane == WORK:
            return WORK
        if queues == {"net"} and job.lane in (None, NET):
            return NET
        large = job.recording.large and job.recording.priority != PRIORITIES["high"]
        return PREPARE if large and "transcribe" not in job.finished and CPU in queues else WORK

    def _ask(self, job: _Job, lane: str) -> None:
        """As ``store.turns.ask``."""
        account, priority = job.recording.account, job.recording.priority
        kept = job.lane == PREPARE and job.admitted and lane == WORK
        if job.admitted:
            self._leave(job, working=not kept)
        if kept:
            job.lane = WORK
            self._taken[account, WORK] += 1
            self._send(job)
        else:
            job.lane, job.admitted, job.asked_at = lane, False, self._stations.now
            self._number += 1
            line = self._lines[account].setdefault((lane, priority), [])
            heapq.heappush(line, (job.recording.at, self._number, job))
        self._give(account)

    def _leave(self, job: _Job, *, working: bool = True) -> None:
        account = job.recording.account
        self._taken[account, str(job.lane)] -= 1
        if working and job.lane != NET:
            self._working[account, job.recording.priority] -= 1

    def _give(self, account: int) -> None:
        """As ``store.turns.give``: the oldest first, whoever finds no room in its lane keeps nobody in another out."""
        lines = self._lines[account]
        given = True
        while given:
            heads = sorted((line[0], lane) for (lane, _), line in lines.items() if line)
            given = next((self._admit(lines, *head) for head in heads if self._fits(head[0][2], head[1])), False)

    def _fits(self, job: _Job, lane: str) -> bool:
        account, priority = job.recording.account, job.recording.priority
        if lane == NET:
            return self._taken[account, NET] < self._limits[NET]
        room = self._working[account, priority] < self._limits[WORK]
        return room and (lane == WORK or self._taken[account, PREPARE] < self._limits[PREPARE])

    def _admit(self, lines: Any, place: tuple[float, int, _Job], lane: str) -> bool:
        job = place[2]
        heapq.heappop(lines[lane, job.recording.priority])
        job.admitted = True
        job.turn_seconds += self._stations.now - job.asked_at
        self._taken[job.recording.account, lane] += 1
        if lane != NET:
            self._working[job.recording.account, job.recording.priority] += 1
        self._send(job)
        return True

    def _send(self, job: _Job) -> None:
        key = _key(job)
        for head in ready(key, job.finished):
            if head.each:
                self._chunks(job, head)
            elif head.name not in job.sent:
                job.sent.add(head.name)
                self._link(job, follows(key, head.name, job.finished))
        if job.finished >= set(job.planned) and "finish" not in job.sent:
            job.sent.add("finish")
            self._message(job, CPU, "finish", 0.0, partial(self._over, job))

    def _chunks(self, job: _Job, stage: Stage) -> None:
        """As many as may be on the queue."""
        while job.next_chunk < len(job.chunks) and job.under_way < self._windows[stage.queue]:
            item = job.next_chunk
            job.next_chunk += 1
            job.under_way += 1
            then = partial(self._chunk_done, job, stage)
            self._message(job, stage.queue, stage.name, job.chunks[item], then, item=item)

    def _chunk_done(self, job: _Job, stage: Stage) -> None:
        job.under_way -= 1
        if job.next_chunk == len(job.chunks) and not job.under_way:
            job.finished |= {stage.name}
        self._go(job)

    def _link(self, job: _Job, run: tuple[Stage, ...]) -> None:
        """Send the first of a run of stages; each sends the next when it is done, the last one the job's."""
        head, rest = run[0], run[1:]

        def then() -> None:
            job.finished |= {head.name}
            if rest:
                self._link(job, rest)
            else:
                self._go(job)

        self._message(job, head.queue, head.name, job.recording.minutes, then)

    def _message(self, job: _Job, queue: str, stage: str, minutes: float, then: Any, *, item: int = WHOLE) -> None:
        own = self._own.get((job.recording.at, stage, item))
        seconds = (self._has.times[stage].seconds(minutes) if own is None else own) + self._has.handover
        begins = partial(self._begins, job, queue, item)
        self._stations.send(Message(queue, seconds, then, job.recording.priority, begins=begins))

    def _begins(self, job: _Job, queue: str, item: int, waited: float) -> None:
        now, at = self._stations.now, job.recording.at
        self.seen.messages += 1
        self.seen.waits[queue].add(now - waited, waited)
        if not job.begun:
            job.begun = True
            self.seen.begins.add(at, now - at)
        if item == 0:
            self.seen.first_chunks.add(now - waited, waited)
            self.seen.transcriptions.add(at, now - at)

    def _over(self, job: _Job) -> None:
        self.seen.ends(job.recording.at, job.recording.minutes, self._stations.now)
        self.seen.turns.add(job.recording.at, job.turn_seconds)
        del self._jobs[job.number]
        self._leave(job)
        self._give(job.recording.account)


def chunks(minutes: float, chunk_seconds: float) -> list[float]:
    """Minutes of each chunk of a recording that somebody speaks in from one end to the other."""
    number = _how_many(minutes * 60, minutes * 60, chunk_seconds)
    return [minutes / number] * number


def _key(job: _Job) -> Kind:
    return job.recording.fetched, job.recording.language, job.recording.diarise
