"""Which of the voices in a recording are those of people that are known: pure."""

from collections.abc import Callable, Mapping, Sequence

from pipelines.documents import Voice

Similarity = Callable[[Sequence[float], Sequence[float]], float]
"""How alike two voices are; from 0 on they are more likely the same person than not."""


def recognise(voices: Sequence[Voice], known: Mapping[str, Sequence[float]], similarity: Similarity) -> dict[str, str]:
    """The speakers that are known, by their labels.

    The pairs that are most alike come first; nobody gets two names, and no name is given to two.

    Args:
        voices: Of the speakers of a recording.
        known: Name -> voice.
        similarity: Of two voices.
    """
    pairs = [
        (similarity(voice.embedding, sample), voice.speaker, name)
        for voice in voices
        if voice.embedding  # of somebody who said too little there is none
        for name, sample in known.items()
    ]
    names: dict[str, str] = {}
    # Equal ones in the order in which they came.
    for _, speaker, name in sorted((pair for pair in pairs if pair[0] >= 0), key=lambda pair: -pair[0]):
        if speaker not in names and name not in names.values():
            names[speaker] = name
    return names
