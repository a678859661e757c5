"""Names of containers, and what a browser is told of them."""

import re

_BRANDS = {b"qt  ": "mov", b"M4A ": "m4a", b"M4B ": "m4a", b"M4P ": "m4a", b"3g": "3gp"}
"""First letters of the major brand of an ISO media file; any other is mp4."""

_NAMES = {"asf_o": "asf", "live_flv": "flv", "amrnb": "amr", "amrwb": "amr", "ivr": "rm"}
"""Demuxers that read the same container as another."""

_CONTENT_TYPES = {
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "amr": "audio/amr",
    "au": "audio/basic",
    "caf": "audio/x-caf",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "3gp": "video/3gpp",
    "avi": "video/x-msvideo",
    "matroska": "video/x-matroska",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpegts": "video/mp2t",
    "webm": "video/webm",
}


def container_name(demuxer: str, head: bytes) -> str:
    """Short name of a container.

    Args:
        demuxer: ffmpeg's names for it, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``.
        head: The first 64 bytes of the file, which tell apart the containers that one demuxer reads.
    """
    first = demuxer.split(",")[0]
    if first == "mov":
        brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "  # QuickTime files of old have no brand
        return next((name for start, name in _BRANDS.items() if brand.startswith(start)), "mp4")
    if first == "matroska":
        return "webm" if b"webm" in head else "matroska"
    name = _NAMES.get(first, first)
    return name if re.fullmatch(r"[a-z0-9_]{1,32}", name) else "unknown"


def media_type(name: str) -> str:
    """Content-Type to serve a source under, by ``Media.format``.

    Only types that a browser plays and never interprets (no HTML, SVG or text); a video type also plays in an audio
    element. What is not known is ``application/octet-stream``. Serve it with ``X-Content-Type-Options: nosniff``.
    """
    return _CONTENT_TYPES.get(name, "application/octet-stream")
