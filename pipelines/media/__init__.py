"""Recordings as users send them, made into the one audio format the rest of the pipeline reads.

``process`` runs a program within bounds, ``ffmpeg`` finds the tool and words its command, ``report`` understands what
it prints, ``verdict`` judges what came of it, ``conversion`` puts them together, ``launch`` stands in for what
sets limits, ``types`` names containers for HTTP. Nothing here imports a heavy module.
"""

from pipelines.media.conversion import normalise
from pipelines.media.ffmpeg import find_ffmpeg
from pipelines.media.types import media_type

__all__ = ["find_ffmpeg", "media_type", "normalise"]
