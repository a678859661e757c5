"""The headers of the protocol for resumable uploads, as the API document describes them."""

from collections.abc import Mapping
from typing import Any

from webapp.openapi import UPLOAD_BYTES, Header, Parameter
from webapp.resumable import headers as tus_headers

VERSION = Parameter(
    "Tus-Resumable",
    "Version of the protocol.",
    {"type": "string", "enum": [tus_headers.VERSION]},
    where="header",
    required=True,
)
DETAILS = Parameter(
    "Upload-Metadata",
    "More about the recording: pairs 'key base64' with commas between them, each key once; filename is the name to "
    "show.",
    {"type": "string", "pattern": tus_headers.METADATA_PATTERN, "examples": ["filename dGFsay5tcDM="]},
    where="header",
)
DEFERRED = Parameter(
    "Upload-Defer-Length",
    "1, instead of Upload-Length: the length follows with a PATCH.",
    {"type": "string", "enum": ["1"]},
    where="header",
    aside=True,
)
CHECKSUM = Parameter(
    "Upload-Checksum",
    f"Of the bytes that come along: an algorithm ({', '.join(tus_headers.ALGORITHMS)}), a space and the checksum in "
    "base64. Bytes that do not add up to it are not kept.",
    where="header",
    aside=True,
)
LENGTH = Parameter("Upload-Length", "Bytes of the recording.", UPLOAD_BYTES, where="header", required=True)
COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 0}
PLACE = Header("Where the bytes go.")
OFFSET = {"Upload-Offset": Header("Bytes that are there.", COUNT)}
EXPIRES = {"Upload-Expires": Header("Until when the upload is kept without a job.")}
VERSIONS = {
    "Tus-Resumable": Header("The version that is spoken."),
    "Tus-Version": Header("The same, where another was asked for.", always=False),
}
AT = Parameter("Upload-Offset", "Bytes that are there already.", UPLOAD_BYTES, where="header", required=True)
