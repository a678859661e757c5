"""What a server's words mean: make room, wait, look for it elsewhere, or look whether it refuses everything."""

import pickle

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from pipelines.errors import LonghandError
from store.file_errors import Damaged, ScratchFull, StorageAway, StorageFull, StorageRefused, noticing
from store.s3_answers import Answer, nobody, told


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("QuotaExceeded", 403, "full"), ("XMinioStorageFull", 507, "full"), ("507", 507, "full"),
        ("XMinioAdminBucketQuotaExceeded", 400, "full"), ("InternalError", 500, "away"),
        ("503", 503, "away"), ("429", 429, "away"),
        ("SlowDown", 0, "away"), ("NoSuchBucket", 404, "away"), ("ExpiredToken", 400, "away"), ("404", 404, "missing"),
        ("NoSuchKey", 404, "missing"), ("AccessDenied", 403, "refused"), ("NotImplemented", 501, "refused"),
        ("InvalidObjectState", 403, "refused"), ("KMS.DisabledException", 400, "refused"), ("301", 301, "refused"),
    ],
)  # fmt: skip
def test_what_follows_from_an_answer(code: str, status: int, kind: str) -> None:
    assert Answer(code, status, "PutObject").kind == kind
    wanted = {"full": StorageFull, "away": StorageAway, "refused": StorageRefused, "missing": FileNotFoundError}[kind]
    with pytest.raises(wanted), noticing(lambda: False, remote=True, sound=lambda: True):
        raise FileNotFoundError from refusal(code, status)
    unsound = StorageAway if kind == "refused" else wanted
    with pytest.raises(unsound), noticing(lambda: False, remote=True, sound=lambda: False):
        raise FileNotFoundError from refusal(code, status)


def refusal(code: str, status: int) -> Exception:
    error = Exception(code)
    error.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    return error


def test_a_time_limit_is_no_outage() -> None:
    with pytest.raises(SoftTimeLimitExceeded), noticing(lambda: True, remote=True, sound=lambda: False):
        raise SoftTimeLimitExceeded
    with pytest.raises(StorageAway), noticing(lambda: False, remote=True, sound=lambda: True):
        raise ConnectionError("the line broke")


def test_who_is_nobody_asks_again_who_it_is() -> None:
    assert nobody(refusal("ExpiredToken", 400)) and nobody(refusal("AccessDenied", 403))
    assert not nobody(refusal("InternalError", 500)) and not nobody(OSError()) and told(None) is None


@pytest.mark.parametrize("error", [StorageRefused("refused (Code)"), ScratchFull(), Damaged()])
def test_a_childs_error_is_the_same_for_its_parent(error: LonghandError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, again.detail, again.code) == (type(error), error.args, error.detail, error.code)
