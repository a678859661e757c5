"""Files by which somebody means harm, or that a broken program wrote: a corpus made on the spot, the same each time.

Each case is a function that returns a file's bytes, its name says what is wrong with it, and it names every outcome
that is right: the code of an error, or ``done``. Nothing is committed as a binary: what needs a real encoder is made
by ffmpeg out of ``tests/samples``, the rest is written byte by byte, with noise from a fixed seed.
"""

from tests.hostile import bombs, cut, lying, matroska, movies, pages, pointing, polyglots, strange
from tests.hostile.case import DONE, Case, Workshop, gathered

__all__ = ["DONE", "Case", "Workshop", "corpus"]

_MODULES = (bombs, cut, lying, matroska, movies, pages, pointing, polyglots, strange)


def corpus() -> dict[str, Case]:
    """All cases by name, in a fixed order."""
    assert _MODULES
    return dict(sorted(gathered().items()))
