"""What a backup says of itself: the manifest, which is written last, and the list of files.

<time of the backup>/
    manifest.json           what is in it, with the hashes of the next two
    record/<table>.jsonl.gz a line for each row
    files.jsonl             a line for each job: its files, with their hashes
    files/<job>/<name>      the files themselves
    secrets.json            if it was asked for
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

MANIFEST, LIST, RECORD, FILES, SECRETS = "manifest.json", "files.jsonl", "record", "files", "secrets.json"


def _inside(name: str) -> str:
    parts = name.split("/")
    if any(part in {"", ".", ".."} or "\\" in part or "\0" in part for part in parts):
        raise ValueError("not a name of a job's file")
    return name


JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
TableName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,62}$")]
FileName = Annotated[str, StringConstraints(max_length=4096), AfterValidator(_inside)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rows(_Strict):
    """The file with a table's rows."""

    count: int = Field(ge=0)
    sha256: Hash


class Files(_Strict):
    """The files of jobs."""

    jobs: int = Field(ge=0)
    count: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: Hash
    """Of the list of them."""


class Manifest(_Strict):
    """What is in a backup."""

    format: Literal[1] = 1
    longhand: str
    """The version that made it."""
    revision: str
    """Of the tables."""
    began_at: datetime
    """Of this moment is the record."""
    ended_at: datetime
    tables: dict[TableName, Rows]
    files: Files
    deleted: list[JobId]
    """Jobs that are in the record, and were deleted while their files were to be copied."""
    secrets: Hash | None


class Kept(_Strict):
    """One file of a job."""

    name: FileName
    size: int = Field(ge=0)
    sha256: Hash
    mark: str | None
    """By which the next backup sees that it has not changed."""


class Line(_Strict):
    """The files of a job."""

    job: JobId
    files: list[Kept]
