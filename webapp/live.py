"""The segments of a job that is under way, as they become final: those its transcript will have, in the same order."""

from collections.abc import Iterator

from pipelines import transcripts
from pipelines.channels import joiner
from pipelines.documents import ChunkPlan, ChunkTranscript, Segment, Speaker
from pipelines.joining import Joins
from pipelines.stages.export import TRANSCRIPT
from store import jobs, steps
from webapp.services import Services

_PLAN = "chunks.json"
_PARTS = "segments/*.json"
_TURNS = "turns.json"


class LiveSegments:
    """Hands out each segment of a job once.

    Where speakers are told apart, they all come when the transcript is there: who speaks decides where they are cut.

    What a chunk heard is taken when its step is done, not when its file is there: until then the work may be done anew,
    and differently. Once there is a transcript, the rest comes out of it.

    Args:
        s: Where the job is.
        job_id: The job.
    """

    def __init__(self, s: Services, job_id: str) -> None:
        self._s = s
        self._job_id = job_id
        self._author = _author(s, TRANSCRIPT)
        self._reporter = _author(s, _PARTS) or ""
        self._joiner: Joins | None = None
        self._chunks = 0
        """How many there are, once that is known."""
        self._joined = 0
        self._given = 0
        self._complete = False
        self._cut_later: bool | None = None
        """Whether what the chunks heard is not yet cut as the transcript will be; None: not looked at."""
        self.speakers: list[Speaker] = []
        """Those of the transcript, once segments come out of it."""

    def each(self) -> Iterator[Segment]:
        """The segments that have become final since the last call, numbered from 0 through all calls.

        One at a time: those of many hours need not be in memory at once.
        """
        if self._complete:
            return
        if self._author in steps.finished(self._s.store.database, self._job_id):
            yield from self._out_of_the_transcript()
            return
        if self.whole():
            return
        for item in steps.done_items(self._s.store.database, self._job_id, self._reporter, first=self._joined):
            if item != self._joined:
                return  # a later chunk is done before an earlier one
            try:
                part = self._part(item)
            except FileNotFoundError:
                # Tidied away: the transcript is there by now, or everything was deleted.
                yield from self._out_of_the_transcript()
                return
            yield from self._join(part)

    def whole(self) -> bool:
        """Whether the segments come all at once, when the transcript is there."""
        if self._cut_later is None:
            job = jobs.get(self._s.store.database, self._job_id)
            self._cut_later = job is not None and _author(self._s, _TURNS) in job.stages
        return self._cut_later

    def _part(self, item: int) -> ChunkTranscript:
        """What a chunk heard."""
        if self._joiner is None:
            plan = ChunkPlan.model_validate_json(self._read(_PLAN))
            self._joiner, self._chunks = joiner(plan), len(plan.chunks)
        return ChunkTranscript.model_validate_json(self._read(_PARTS.replace("*", str(item))))

    def _join(self, part: ChunkTranscript) -> Iterator[Segment]:
        if self._joiner is None:
            return
        found = self._joiner.add(part)
        self._joined += 1
        if self._joined == self._chunks:
            self._complete, self._joiner = True, None
        for segment in found:
            self._given += 1
            yield segment

    def _out_of_the_transcript(self) -> Iterator[Segment]:
        try:
            stream = self._s.store.files.open(self._job_id, TRANSCRIPT)
        except FileNotFoundError:
            return
        self._complete, self._joiner = True, None
        with stream:
            self.speakers = transcripts.read_summary(stream).speakers
            for number, segment in enumerate(transcripts.read_segments(stream)):
                if number >= self._given:
                    self._given += 1
                    yield segment

    def _read(self, name: str) -> bytes:
        return self._s.store.files.read(self._job_id, name)


def _author(s: Services, name: str) -> str | None:
    """The stage that writes a file, if there is one."""
    return next((stage.name for stage in s.flow.stages.values() if name in stage.writes), None)
