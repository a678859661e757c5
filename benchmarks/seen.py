"""What came of a simulation: how long everything waited, and at what hour of the day."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.queueing import share_below

QUEUES = ("cpu", "gpu", "diarise", "net")
_HOURS = 24


@dataclass
class Waits:
    """Seconds that things took or waited, by the hour of the day at which that began."""

    hours: list["array[float]"] = field(default_factory=lambda: [array("d") for _ in range(_HOURS)])

    def add(self, at: float, seconds: float) -> None:
        """One more, which began at that moment."""
        self.hours[int(at // 3600) % _HOURS].append(seconds)

    def __len__(self) -> int:
        return sum(map(len, self.hours))

    def all(self) -> list[float]:
        """Of the whole day."""
        return [one for hour in self.hours for one in hour]

    def below(self, *shares: float) -> list[float]:
        """The values that these shares of them do not exceed."""
        ordered = sorted(self.all())
        return [share_below(ordered, share) for share in shares]

    def mean(self) -> float:
        """Of all."""
        return sum(map(sum, self.hours)) / max(1, len(self))

    def late(self, target: float) -> float:
        """Share of them that is longer."""
        return self._late(self.hours, target)

    def late_in(self, hour: int, target: float) -> float:
        """The same in an hour of the day."""
        return self._late([self.hours[hour]], target)

    def worst_hour(self, target: float) -> int:
        """Of the day, in which the greatest share is longer; of the hours with at least as many of them as the mean."""
        usual = len(self) / _HOURS
        return max(range(_HOURS), key=lambda one: (len(self.hours[one]) >= usual, self.late_in(one, target)))

    def late_in_worst_hour(self, target: float) -> float:
        """Share that is longer in that one."""
        return self.late_in(self.worst_hour(target), target)

    def join(self, other: "Waits") -> None:
        """Add another simulation's."""
        for mine, theirs in zip(self.hours, other.hours, strict=True):
            mine.extend(theirs)

    @staticmethod
    def _late(hours: Iterable[Sequence[float]], target: float) -> float:
        late, number = 0, 0
        for hour in hours:
            late += sum(one > target for one in hour)
            number += len(hour)
        return late / max(1, number)


@dataclass
class Seen:
    """What came of it, in seconds. What had not begun or ended when nobody looked any more counts as until then."""

    waits: dict[str, Waits] = field(default_factory=lambda: {name: Waits() for name in QUEUES})
    """Of every message; ``longhand_queue_wait_seconds`` leaves out chunks behind the first of their recording."""
    first_chunks: Waits = field(default_factory=Waits)
    """Of the first chunk of each job, on its queue."""
    turns: Waits = field(default_factory=Waits)
    """For a job's turn, in all its lanes together; meanwhile nothing of it is on a queue."""
    begins: Waits = field(default_factory=Waits)
    """From a job's arrival to the begin of its first work."""
    transcriptions: Waits = field(default_factory=Waits)
    """From a job's arrival to the begin of its first chunk's transcription."""
    latencies: Waits = field(default_factory=Waits)
    """From a job's arrival to its end."""
    audio: list[float] = field(default_factory=lambda: [0.0] * _HOURS)
    """Minutes of each job times its latency, by the hour of its arrival."""
    busy: dict[str, float] = field(default_factory=lambda: dict.fromkeys(QUEUES, 0.0))
    """Of all processes of a queue together."""
    jobs: int = 0
    messages: int = 0
    unfinished: int = 0
    """Jobs that were not done when nobody looked any more."""
    seconds: float = 0.0
    """That the arrivals lasted."""

    @property
    def days(self) -> float:
        """That the arrivals lasted; never 0."""
        return max(self.seconds, 1.0) / 86400

    def ends(self, at: float, minutes: float, now: float) -> None:
        """A job is over, or nobody looks any more."""
        self.latencies.add(at, now - at)
        self.audio[int(at // 3600) % _HOURS] += minutes * (now - at)

    def under_way(self) -> tuple[float, float]:
        """Jobs, and their minutes of audio, at the busiest hour: by Little's law, of those that came in then."""
        seconds = max(1.0, self.days) * 3600
        return max(map(sum, self.latencies.hours)) / seconds, max(self.audio) / seconds

    def join(self, other: "Seen") -> None:
        """Add another simulation of as many days."""
        for name in QUEUES:
            self.waits[name].join(other.waits[name])
            self.busy[name] += other.busy[name]
        for mine, theirs in zip(self._jobs(), other._jobs(), strict=True):
            mine.join(theirs)
        self.audio = [one + more for one, more in zip(self.audio, other.audio, strict=True)]
        self.jobs += other.jobs
        self.messages += other.messages
        self.unfinished += other.unfinished
        self.seconds += other.seconds

    def _jobs(self) -> tuple[Waits, ...]:
        return self.first_chunks, self.turns, self.begins, self.transcriptions, self.latencies
