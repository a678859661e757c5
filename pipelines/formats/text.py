"""What may stand in a file of any format, how wide it is on a screen, and where a script allows a line to break."""

import re
from functools import lru_cache

from wcwidth import iter_graphemes, wcswidth

_SPACES = re.compile(r"[\s\x1c-\x1f]+")
# Kept although they count as white space: they glue what they stand between.
_NO_BREAK = "\u00a0\u202f\u2007"
_STEER = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # controls without a meaning in text
    "\u200b\u2060\ufeff\ufff9-\ufffb\ufffe\uffff"  # invisible, or no characters at all
    "\u202a-\u202e\u2066-\u2069]"  # embeddings and overrides: open ones would reach into the next cue
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_VISIBLE = re.compile(r"[^\s\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufe00-\ufe0f]")

# Scripts that are written without spaces. Korean has spaces, so Hangul is not among them.
_IDEOGRAPHIC = (
    "\u2e80-\u2fdf\u3001-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff01-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_SOUTH_EAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_CJK = re.compile(f"[{_IDEOGRAPHIC}]")
_UNSPACED = re.compile(f"[{_IDEOGRAPHIC}{_SOUTH_EAST_ASIAN}]")
_HIRAGANA = re.compile("[\u3041-\u309f\u30fc]")

# Kinsoku: no line begins with one of these …
_CLOSERS = frozenset(
    "、。，．,.・：；:;?!？！゛゜ヽヾゝゞ々〻ー’”»›)〕]}〉》」』】〙〗〟｠）］｝｣､｡･ｰ％%‰℃…‥‐–〜～ー"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ"
)
# … and none ends with one of these.
_OPENERS = frozenset("‘“«‹([{〔〈《「『【〘〖〝｟（［｛｢¿¡$￥¥£€＄№#")
# Thai and Lao vowels that are written before the consonant they follow.
_LEADING_VOWELS = frozenset("\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4")


def clean(text: str) -> str:
    """Text on one line without anything that could end a line, a cue or a file, or hide what follows.

    White space of any kind becomes one space each time (no-break spaces stay), controls vanish, halves of broken
    characters become U+FFFD.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text
    text = _SURROGATE.sub("\ufffd", _STEER.sub("", text))
    return _SPACES.sub(lambda m: m[0] if len(m[0]) == 1 and m[0] in _NO_BREAK else " ", text)


def visible(text: str) -> bool:
    """Whether there is anything to see in it."""
    return text.isalnum() or _VISIBLE.search(text) is not None


@lru_cache(maxsize=1 << 16)
def _wide(text: str) -> int:
    return max(0, wcswidth(text))


def columns(text: str) -> int:
    """Width on a screen with a fixed pitch: combining marks 0, CJK and emoji 2, the rest 1. Takes cleaned text."""
    return len(text) if text.isascii() else _wide(text)


def graphemes(text: str) -> list[str]:
    """What a reader takes for single characters; none may be cut."""
    return list(text) if text.isascii() else list(iter_graphemes(text))


def spaced(left: str, right: str) -> bool:
    """Whether two sentences that stand side by side want a space between them."""
    return not (left and right and _CJK.match(left[-1]) and _CJK.match(right[0]))


def may_break(left: str, right: str, *, within: bool = False) -> bool:
    """Whether a line may break between two texts that have no space between them.

    Args:
        left: What stands before.
        right: What stands after.
        within: Both are of one word, so that only ideographs and kana may be parted.
    """
    a, b = left[-1], right[0]
    if b in _CLOSERS or a in _OPENERS or columns(b) == 0 or a in _LEADING_VOWELS or a == "\u200d":
        return False
    if a in _NO_BREAK or b in _NO_BREAK:
        return False
    if _CJK.match(a) or _CJK.match(b):
        return True
    if a in "—–" and b.isalpha():
        return True
    return not within and bool(_UNSPACED.match(a)) and bool(_UNSPACED.match(b))


def phrase_start(left: str, right: str) -> bool:
    """Whether a Japanese phrase likely begins between the two: kanji or katakana after hiragana."""
    return bool(_HIRAGANA.match(left[-1])) and not _HIRAGANA.match(right[0])


def pieces(word: str) -> list[str]:
    """A word without spaces in the parts between which a line may break; one part for most scripts.

    Ideographs are parted at likely phrase starts and else every three, which keeps the number of parts low.
    """
    if word.isascii() or not (_CJK.search(word) or "—" in word or "–" in word):
        return [word]
    parts: list[str] = []
    size = 0
    for g in graphemes(word):
        if parts and not (may_break(parts[-1], g, within=True) and (size >= 3 or _natural(parts[-1], g))):
            parts[-1] += g
            size += 1
        else:
            parts.append(g)
            size = 1
    return parts


def _natural(left: str, right: str) -> bool:
    return phrase_start(left, right) or left[-1] in _CLOSERS or bool(_CJK.match(left[-1])) != bool(_CJK.match(right[0]))


def cut(word: str, width: int) -> list[str]:
    """A word in parts of at most ``width`` columns, cut between graphemes; after a hyphen or slash if there is one."""
    parts: list[str] = []
    line: list[str] = []
    for g in graphemes(word):
        if line and columns("".join(line) + g) > width:
            keep = _last_joint(line, g)
            parts.append("".join(line[:keep]))
            line = line[keep:]
        line.append(g)
    parts.append("".join(line))
    return parts


def _last_joint(line: list[str], following: str) -> int:
    """How many graphemes of a full line stay on it."""
    for keep in range(len(line), len(line) * 2 // 3, -1):
        if line[keep - 1] in "-/_.=&?" and (line[keep] if keep < len(line) else following) not in _CLOSERS:
            return keep
    for keep in range(len(line), len(line) // 2, -1):
        after = line[keep] if keep < len(line) else following
        if after[0] not in _CLOSERS and line[keep - 1] not in _OPENERS:
            return keep
    return len(line)
