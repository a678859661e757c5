"""Gates against invented text: what a decoder wrote where nobody spoke, or wrote over and over.

Every gate looks at figures the decoder gives, and none at a single one where a real speaker could cause it. What is
dropped is lost to the user, so a doubtful passage passes; what passes wrongly is a sentence nobody said.
"""

import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

NO_SPEECH = 0.6
"""Probability of silence above which Whisper's authors call a window silent, if it is also improbable."""
IMPROBABLE = -1.0
"""Average log-probability of a token (37 %) below which a decoding is worth another try; Whisper's own figure."""
GUESSED = -1.7
"""Average log-probability (18 %) below which text is guesswork; noise and accents stay near the figure above."""
REPETITIVE = 2.4
"""Compression ratio above which text goes in circles; Whisper's own. Speech has 1.3 to 1.8, lists read out about 2."""
LETTERS_PER_SECOND = 40.0
"""Nobody speaks so fast: conversation has 12 to 18, the fastest auctioneers about 30."""
WIDE_LETTER = 2
"""A Chinese, Japanese or Korean character is a syllable or more; nobody speaks 20 syllables a second either."""
INAUDIBLE = 0.05
"""Mean word probability below which no word of a phrase can be heard in the audio."""
ALIGNED = 0.5
"""Mean word probability above which word times are to be trusted."""
REPEATS = 4
"""Copies in a row from which a phrase counts as a loop, in text that is repetitive as a whole."""
LONGEST_LOOP = 12
"""Words in the longest phrase that is looked for in a loop."""

_MODEST_SILENCE = 0.3
_MODEST_LOGPROB = -0.6
_SHORT = 20
"""Letters up to which a phrase is too short to tell its speed: one word's time may be off by its own length."""

PHANTOMS = frozenset(
    {
        "thank you",
        "thank you very much",
        "thank you for watching",
        "thanks for watching",
        "thank you so much for watching",
        "please subscribe",
        "please subscribe to my channel",
        "dont forget to like and subscribe",
        "see you next time",
        "see you in the next video",
        "ill see you in the next video",
        "bye",
        "bye bye",
        "you",
        "subtitles by the amaraorg community",
        "transcription by castingwords",
        "untertitel im auftrag des zdf für funk 2017",
        "untertitelung des zdf 2020",
        "untertitel der amaraorgcommunity",
        "vielen dank fürs zuschauen",
        "vielen dank",
        "soustitres réalisés par la communauté damaraorg",
        "soustitrage st 501",
        "merci davoir regardé cette vidéo",
        "subtítulos realizados por la comunidad de amaraorg",
        "subtítulos por la comunidad de amaraorg",
        "gracias por ver el video",
        "sottotitoli creati dalla comunità amaraorg",
        "grazie per la visione",
        "legendas pela comunidade amaraorg",
        "obrigado por assistir",
        "ondertiteld door de amaraorg gemeenschap",
        "продолжение следует",
        "субтитры сделал dimatorzok",
        "редактор субтитров асинецкая корректор аегорова",
        "спасибо за просмотр",
        "napisy stworzone przez społeczność amaraorg",
        "dziękuję za uwagę",
        "altyazı mk",
        "i̇zlediğiniz için teşekkür ederim",
        "ご視聴ありがとうございました",
        "最後までご視聴いただきありがとうございます",
        "请不吝点赞订阅转发打赏支持明镜与点点栏目",
        "字幕由amaraorg社区提供",
        "字幕志愿者杨茜茜",
        "시청해주셔서 감사합니다",
    }
)
"""What Whisper models are known to write over silence: the ends of the videos they learned from."""


class Reason(StrEnum):
    """Why text was dropped."""

    WORDLESS = "wordless"
    SILENCE = "silence"
    GUESSED = "guessed"
    INAUDIBLE = "inaudible"
    LOOP = "loop"
    TOO_FAST = "too_fast"
    PHANTOM = "phantom"


@dataclass(frozen=True)
class Heard:
    """Text and what its decoder says about it."""

    text: str
    seconds: float
    """Length of the audio that the text is about."""
    avg_logprob: float
    no_speech_prob: float
    probabilities: Sequence[float] = ()
    """Of the words; empty where they are not known."""

    @property
    def confidence(self) -> float:
        """Mean probability of the words; 1 where they are not known."""
        return sum(self.probabilities) / len(self.probabilities) if self.probabilities else 1.0


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of the text compressed; higher the more it repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def wants_retry(window: Heard) -> bool:
    """Whether decoding a window once more, less greedily, may do better; not where it is silent."""
    if not window.text.strip():
        return False
    if window.avg_logprob < IMPROBABLE and window.no_speech_prob > NO_SPEECH:
        return False
    return window.avg_logprob < IMPROBABLE or compression_ratio(window.text) > REPETITIVE


def drop_window(window: Heard) -> Reason | None:
    """Why all the text of a window is invented, if it is."""
    if not _has_words(window.text):
        return Reason.WORDLESS
    if window.no_speech_prob > NO_SPEECH and window.avg_logprob < IMPROBABLE:
        return Reason.SILENCE
    if window.avg_logprob < GUESSED:
        return Reason.GUESSED
    if compression_ratio(window.text) > REPETITIVE:
        return Reason.LOOP
    if letters(window.text) > max(_SHORT, LETTERS_PER_SECOND * window.seconds):
        return Reason.TOO_FAST
    return None


def drop_phrase(phrase: Heard) -> Reason | None:
    """Why one phrase is invented, in a window that is sound as a whole."""
    if not _has_words(phrase.text):
        return Reason.WORDLESS
    if phrase.confidence < INAUDIBLE:
        return Reason.INAUDIBLE
    fast = letters(phrase.text) > max(_SHORT, LETTERS_PER_SECOND * phrase.seconds)
    if fast and phrase.confidence < ALIGNED:
        return Reason.TOO_FAST
    if _plain(phrase.text) in PHANTOMS and _points_at_silence(phrase):
        return Reason.PHANTOM
    return None


def loops(words: Sequence[str]) -> list[range]:
    """The copies in each loop of words, without the first one, which somebody may have said.

    Ask only about text whose compression ratio is too high: a person may well say "no" five times.
    """
    plain = [_plain(word) for word in words]
    found: list[range] = []
    at = 0
    while at < len(plain):
        size, copies = max(
            ((size, _copies(plain, at, size)) for size in range(1, LONGEST_LOOP + 1)),
            key=lambda candidate: candidate[0] * candidate[1] if candidate[1] >= REPEATS else 0,
        )
        if copies < REPEATS:
            at += 1
            continue
        found.append(range(at + size, at + size * copies))
        at += size * copies
    return found


def letters(text: str) -> int:
    """Letters and digits, a wide one counted as two."""
    return sum(
        WIDE_LETTER if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text if letter.isalnum()
    )


def _copies(words: Sequence[str], at: int, size: int) -> int:
    """How often the ``size`` words from ``at`` on stand there in a row."""
    phrase = words[at : at + size]
    if len(phrase) < size or not any(phrase):
        return 0
    copies = 1
    while words[at + copies * size : at + (copies + 1) * size] == phrase:
        copies += 1
    return copies


def _points_at_silence(phrase: Heard) -> bool:
    return (
        phrase.no_speech_prob > _MODEST_SILENCE or phrase.avg_logprob < _MODEST_LOGPROB or phrase.confidence < ALIGNED
    )


def _has_words(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _plain(text: str) -> str:
    """Lower case, without punctuation, single spaces."""
    kept = "".join(letter for letter in text.casefold() if letter.isalnum() or letter.isspace() or _is_mark(letter))
    return " ".join(kept.split())


def _is_mark(letter: str) -> bool:
    """Accents and vowel signs that stand as characters of their own."""
    return unicodedata.category(letter).startswith("M")
