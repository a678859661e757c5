"""What an S3 server's answer to a request that failed means; the library's own translation loses half of it."""

from dataclasses import dataclass
from typing import Literal

_FULL = frozenset(
    {"QuotaExceeded", "StorageFull", "XMinioAdminBucketQuotaExceeded", "XMinioBucketQuotaExceeded", "XMinioStorageFull"}
)
_BUSY = frozenset(
    {
        "InternalError", "OperationAborted", "RequestTimeout", "RequestTimeoutException", "ServiceUnavailable",
        "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "TooManyRequests",
    }
)  # fmt: skip
_KEY = frozenset(
    {
        "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)  # fmt: skip
"""Who we are is not believed: nothing else will be either."""
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NotFound"})
_NOWHERE = "NoSuchBucket"
_NO_KEY = frozenset(
    {"CredentialRetrievalError", "NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}
)


@dataclass(frozen=True)
class Answer:
    """A refusal, in the server's words."""

    code: str
    status: int
    """Of HTTP; 0: it was inside an answer to a request for many things."""
    operation: str
    """As the S3 interface calls it, ``PutObject``; may be empty."""

    @property
    def kind(self) -> Literal["full", "away", "missing", "refused"]:
        """What follows: make room, wait, it is not there, or look whether the server refuses everything."""
        if self.code in _FULL or self.status == 507:
            return "full"
        busy = (self.status >= 500 and self.status != 501) or self.status == 429
        if busy or self.code in _BUSY or self.code in _KEY or self.code == _NOWHERE:
            return "away"
        return "missing" if self.code in _MISSING else "refused"


def told(error: BaseException | None) -> Answer | None:
    """What a server answered, out of an error that libraries have wrapped; None: it did not answer."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict) and isinstance(response.get("Error"), dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = str(response["Error"].get("Code") or status)
            return Answer(code, int(status), str(getattr(error, "operation_name", "")))
        error = error.__cause__
    return None


def nobody(error: BaseException | None) -> bool:
    """Whether we were nobody to the server, so that credentials are worth reading anew."""
    said = told(error)
    if said is not None:
        return said.code in _KEY or said.status in {401, 403}
    while error is not None:
        if type(error).__name__ in _NO_KEY or isinstance(error, PermissionError):
            return True
        error = error.__cause__
    return False
