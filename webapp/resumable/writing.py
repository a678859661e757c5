"""What arrives of a resumable upload is kept as it comes, by one request at a time."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import arrivals, uploads
from store.arrivals import Arrival
from store.beating import beating
from store.jobs import new_id
from store.models import ResumableUpload
from store.upload_files import continue_upload
from webapp.errors import Problem, bad_option
from webapp.lookup import find_upload
from webapp.resumable.body import Incoming
from webapp.resumable.headers import Checksum
from webapp.services import Services

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 1.0
"""A client whose connection broke may be back before the request before has ended."""
_BEAT_SECONDS = 1.0
"""How often a busy writer says that it lives, and on a disk how much is there: a crash costs so much at most."""


class Hold:
    """The right to write to an upload; ends with the block it was made for, or when a later request takes it over.

    Args:
        s: The services.
        upload_id: The upload.
    """

    def __init__(self, s: Services, upload_id: str) -> None:
        self.id = upload_id
        self._s = s
        self._hours = s.settings.upload_hours
        self._database = s.store.database
        self._claim = new_id()
        self._beaten = time.monotonic()

    def take(self, *, patience: float) -> bool:
        """Get it; whoever is just letting go of it is waited for. False: the upload is finished (meanwhile).

        Raises:
            Problem: 404, 410 it is gone; 423 another request has it.
        """
        end = time.monotonic() + patience
        while not uploads.lock(self._database, self.id, claim=self._claim, hours=self._hours):
            if find_upload(self._s, self.id).sha256 is not None:
                return False
            if time.monotonic() > end:
                raise busy()
            time.sleep(0.1)
        return True

    def release(self) -> None:
        """Let others have it; if the record is away just now, it runs out by itself."""
        try:
            uploads.unlock(self._database, self.id, claim=self._claim)
        except SQLAlchemyError:
            log.exception("an upload could not be unlocked", upload=self.id)

    def check(self) -> None:
        """Find out whether it is still ours."""
        _still(uploads.holds(self._database, self.id, claim=self._claim))

    def beat(self) -> None:
        """Keep it, called as often as one likes."""
        if time.monotonic() - self._beaten > _BEAT_SECONDS:
            self.renew()

    def renew(self) -> None:
        """Keep it."""
        _still(uploads.renew(self._database, self.id, claim=self._claim))
        self._beaten = time.monotonic()

    def advance(self, offset: int, parts: list[str]) -> None:
        """Note how much is there."""
        kept = uploads.advance(
            self._database, self.id, claim=self._claim, offset=offset, parts=parts, hours=self._hours
        )
        _still(kept)
        self._beaten = time.monotonic()

    def declare(self, length: int) -> None:
        """Note the length."""
        _still(uploads.declare(self._database, self.id, claim=self._claim, length=length))

    def complete(self, sha256: str) -> None:
        """Note that all of it is there."""
        _still(uploads.complete(self._database, self.id, claim=self._claim, sha256=sha256, hours=self._hours))


@contextmanager
def held(s: Services, upload_id: str, *, patience: float = _PATIENCE_SECONDS) -> Iterator[Hold | None]:
    """Hold an upload for the time of a block; None: it is finished, and nobody may write to it any more.

    What was read of it before may be out of date in the block.

    Raises:
        Problem: 404, 410 it is gone; 423 another request writes to it.
    """
    hold = Hold(s, upload_id)
    if not hold.take(patience=patience):
        yield None
        return
    try:
        yield hold
    finally:
        hold.release()


def receive(s: Services, hold: Hold, upload: ResumableUpload, body: Incoming, checksum: Checksum | None) -> int:
    """Write a body to the end of an upload, and finish the upload if that was the last of it.

    Args:
        s: The services.
        hold: The right to it.
        upload: Its record, read after it was held, with its length if that is known.
        body: What arrives.
        checksum: What the body must add up to; until it is whole nothing of it counts.

    Returns:
        The new offset.

    Raises:
        Problem: 400 it broke off; 409 the upload is shorter than recorded, or another request took over; 410 a part of
            it is lost; 413 it is longer than announced; 423 the request before has not stopped; 460 the checksum is
            another.
        store.file_errors.StorageFull: The disk is full; what was saved before stays.
    """
    with _arriving(s, hold, upload) as arrival:
        writing = _Writing(hold, arrival, upload, max_bytes=s.settings.max_upload_bytes)
        _write(writing, body, checksum)
        writing.save()
        if writing.all_there:
            _finish(hold, arrival)
    return upload.offset + body.received


def settled(s: Services, upload: ResumableUpload, *, patience: float) -> ResumableUpload:
    """An upload as it is, after finishing it if all of it is there: who brought the last of it may have died then.

    Args:
        s: The services.
        upload: Its record.
        patience: Seconds to wait for a request that is just finishing it.

    Raises:
        Problem: 404, 410 it is gone; 409 the upload is shorter than recorded; 423 another request has it.
        store.file_errors.StorageFull: The disk is full.
    """
    if upload.sha256 is not None or upload.offset != upload.length:
        return upload
    with held(s, upload.id, patience=patience) as hold:
        found = find_upload(s, upload.id)
        if hold is not None and found.offset == found.length:
            with _arriving(s, hold, found) as arrival:
                _finish(hold, arrival)
    return find_upload(s, upload.id)


def _finish(hold: Hold, arrival: Arrival) -> None:
    """Make one file of what is there; what was recorded before is enough to do it again.

    Raises:
        store.arrivals.Vanished: A part is not there (any more).
    """
    hold.renew()
    hold.complete(arrival.finish(hold.beat))
    arrival.tidy()


class _Writing:
    """Bytes on their way from a body to an upload."""

    def __init__(self, hold: Hold, arrival: Arrival, upload: ResumableUpload, *, max_bytes: int) -> None:
        self.hold = hold
        self.arrival = arrival
        self._start = upload.offset
        self._length = upload.length
        self._room = (max_bytes if upload.length is None else upload.length) - upload.offset
        self._bytes = 0
        self._at = time.monotonic()

    @property
    def all_there(self) -> bool:
        """Whether the upload has its whole length."""
        return self._start + self._bytes == self._length

    def add(self, block: bytes) -> None:
        """Write."""
        self._bytes += len(block)
        if self._bytes > self._room:
            raise Problem(413, "More came than the upload has left; send what is between its offset and its length.")
        self.arrival.write(block)

    def save(self) -> None:
        """Make it count."""
        if self.arrival.unsaved:
            self.hold.renew()  # before the files change
            with beating(self.hold.renew):  # the storage may take its time for a large part
                self.arrival.save()
            self.hold.advance(self._start + self._bytes, self.arrival.parts)
        self._at = time.monotonic()

    def save_now_and_then(self, *, may_count: bool) -> None:
        """Make it count, if it is time."""
        if time.monotonic() - self._at < _BEAT_SECONDS:
            return
        if may_count and self.arrival.ripe:
            self.save()
        else:
            self.hold.beat()


def _write(writing: _Writing, body: Incoming, checksum: Checksum | None) -> None:
    total = checksum.start() if checksum else None

    def pause() -> None:
        # Its client may have gone, and come back on another connection: what it sent must be there by then.
        if checksum is None:
            writing.save()
        writing.hold.check()

    with closing(body.blocks(pause)) as blocks:  # whatever happens, nobody is called when this is over
        for block in blocks:
            writing.add(block)
            if total is not None:
                total.update(block)
            writing.save_now_and_then(may_count=checksum is None)
    if not body.whole:
        if checksum is None:
            writing.save()
            if writing.all_there:  # only the end of the last chunk is missing
                return
        raise bad_option("The upload broke off; ask for its offset with HEAD and go on from there.")
    if checksum is not None and total is not None and total.digest() != checksum.expected:
        writing.arrival.undo()
        detail = f"The bytes do not add up to the {checksum.algorithm} of Upload-Checksum; send them again."
        raise Problem(460, detail, code="invalid_option")


@contextmanager
def _arriving(s: Services, hold: Hold, upload: ResumableUpload) -> Iterator[Arrival]:
    """The bytes of an upload, to be written to; what is wrong with them is said."""
    try:
        arrival = continue_upload(s.store.files, upload.id, offset=upload.offset, parts=upload.parts, check=hold.check)
        try:
            yield arrival
        finally:
            arrival.close()
    except arrivals.Busy as error:
        raise busy() from error
    except arrivals.Vanished as error:
        hold.check()  # else another has finished it, and put the parts away
        raise lost(s, upload, missing=error.name) from error
    except arrivals.Shorter as error:
        log.error("an upload lost bytes", upload=upload.id, recorded=upload.offset, there=error.size)
        hold.advance(error.size, [])
        detail = f"Only {error.size} bytes of the upload are left on the server; go on from there."
        raise Problem(409, detail) from error


def lost(s: Services, upload: ResumableUpload, *, missing: str) -> Problem:
    """410: bytes of the upload are not in storage any more; the upload is forgotten."""
    log.error("an upload lost bytes", upload=upload.id, recorded=upload.offset, missing=missing)
    s.store.files.delete(upload.id)
    uploads.forget(s.store.database, upload.id)
    return Problem(410, "Bytes of this upload were lost on the server; begin a new one with POST /v1/uploads.")


def busy() -> Problem:
    """423: another request writes to the upload."""
    detail = "Another request is writing to this upload; try again in a moment."
    return Problem(423, detail, code="conflict", headers={"Retry-After": "1"})


def _still(ours: bool) -> None:
    if not ours:
        raise Problem(409, "A later request has gone on with this upload, or deleted it; ask for its offset with HEAD.")
