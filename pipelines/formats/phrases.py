"""How much it hurts to break a text between two words.

Costs are points; 0 is a full stop, 40 the middle of nowhere, 140 tears apart what belongs together.
"""

from functools import lru_cache

from pipelines.formats.text import phrase_start

NOWHERE = 40.0
TORN = 140.0
_QUOTES = "\"'”’»›)]}」』】〉》）"
_SENTENCE = frozenset(".?!…。！？．｡؟۔।॥։።")
_CLAUSE = {",": 10.0, "،": 10.0, "、": 10.0, "，": 10.0, ";": 5.0, "；": 5.0, "؛": 5.0, ":": 6.0, "：": 6.0}
_DASHES = frozenset("—–-")

# Conjunctions, relatives and prepositions: a phrase begins with them, so a line may, and must not end with them.
_LEADERS = {
    "en": "and or but nor so yet because although though while whereas unless until since if when where which who whom "
    "whose that than whether of in on at by for with from to into onto over under about after before between through "
    "during without within against among around behind beyond toward towards upon across along as like per via",
    "de": "und oder aber denn sondern weil obwohl während wenn als dass daß ob wie bis seit nachdem bevor damit wo "
    "welche welcher welches in im ins an am ans auf aufs bei beim mit von vom zu zum zur für durch gegen ohne um nach "
    "aus über unter vor hinter neben zwischen wegen trotz",
    "es": "y e o u pero sino porque aunque mientras cuando donde si que quien cual como de del en a al con por para "
    "sin sobre entre desde hasta hacia contra según durante tras ante bajo",
    "fr": "et ou mais donc or ni car parce puisque quoique lorsque quand si que qui dont où comme de du des d en à au "
    "aux avec par pour sans sur sous dans entre depuis jusque vers chez contre pendant après avant",
    "it": "e ed o ma però perché benché mentre quando dove se che chi cui come di del della dei delle in nel nella a "
    "al alla con per da dal dalla su sul sulla tra fra senza verso contro durante dopo prima",
    "pt": "e ou mas porém porque embora enquanto quando onde se que quem como de do da dos das em no na nos nas a ao à "
    "com por pelo pela para sem sobre entre desde até contra durante após",
    "nl": "en of maar want omdat hoewel terwijl als dat die wanneer waar wie in op aan bij met van voor door tegen "
    "zonder om naar uit over onder achter naast tussen tijdens sinds tot",
}
# Articles, possessives, auxiliaries, negations, subject pronouns: they lean on the next word.
_LEANERS = {
    "en": "the a an this these those my your his her its our their some any no every each is are was were be been am "
    "has have had do does did will would can could shall should may might must not don't doesn't didn't isn't aren't "
    "wasn't can't won't i you he she it we they i'm you're he's she's it's we're they're i've we've very more most mr "
    "mrs ms dr prof st",
    "de": "der die das den dem des ein eine einen einem einer eines kein keine keinen mein meine dein deine sein seine "
    "ihr ihre unser unsere dieser diese dieses diesen jeder jede jedes ist sind war waren hat haben hatte wird werden "
    "wurde kann können muss müssen soll will nicht sehr ich du er sie es wir man herr frau dr",
    "es": "el la los las un una unos unas lo mi mis tu tus su sus nuestro nuestra este esta estos estas ese esa no muy "
    "más es son era fue ha han había he hemos está están se me te le les nos yo él ella señor señora dr sra sr",
    "fr": "le la les l un une mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs ce cet cette ces ne pas "
    "très plus est sont était a ont avait je tu il elle on nous vous ils elles se me te mme dr",
    "it": "il lo la i gli le l un uno una mio mia tuo tua suo sua nostro nostra questo questa quello quella non molto "
    "più è sono era ha hanno aveva si mi ti ci io tu lui lei noi voi loro sig dr",
    "pt": "o os as um uma uns umas meu minha seu sua nosso nossa este esta esse essa não muito mais é são era foi tem "
    "têm tinha se me te lhe eu tu ele ela nós eles elas sr sra dr",
    "nl": "de het een mijn jouw zijn haar ons onze hun deze dit geen niet heel meer is was waren heeft hebben had "
    "wordt worden kan kunnen moet moeten zal ik je jij hij ze zij wij we dr dhr mevr",
}
# Only those that hardly ever close a sentence themselves.
_ABBREVIATIONS = (
    "mr mrs ms dr prof st vs e.g i.e vol fig approx capt gen sgt rev gov rep z.b d.h u.a bzw ca nr fr sra srta ud uds "
    "p.ej mme mlle cf dott sig ing dhr mevr"
)


@lru_cache(maxsize=32)
def _words(language: str | None) -> tuple[frozenset[str], frozenset[str]]:
    code = (language or "").split("-")[0].lower()
    return frozenset(_LEADERS.get(code, "").split()), frozenset(_LEANERS.get(code, "").split())


@lru_cache(maxsize=1)
def _abbreviations() -> frozenset[str]:
    return frozenset(_ABBREVIATIONS.split())


def ends_sentence(text: str) -> bool:
    """Whether a word closes a sentence; ``Dr.``, ``J.`` and ``e.g.`` do not."""
    bare = text.rstrip(_QUOTES)
    if not bare or bare[-1] not in _SENTENCE:
        return False
    if bare[-1] != "." or bare.endswith(".."):
        return True
    stem = bare[:-1].lstrip("\"'“‘«([¿¡").lower()
    return not (stem in _abbreviations() or (len(stem) == 1 and stem.isalpha() and stem != "i"))


def cost(left: str, right: str, *, spaced: bool, pause: float, language: str | None) -> float:
    """Points for a break between two words.

    Args:
        left: The word before.
        right: The word after.
        spaced: A space stands between them.
        pause: Seconds of silence between them.
        language: ISO code; only in some languages are function words known.
    """
    bare = left.rstrip(_QUOTES) or left
    points = _by_punctuation(left, bare)
    if points is None:
        points = _by_words(bare, right, language) if spaced else _unspaced(left, right)
        if right[0] in "([「『（《¿¡“«":
            points -= 10
    if pause > 0.15:
        points -= min(30.0, 50.0 * (pause - 0.15))
    return max(0.0, points)


def _by_punctuation(left: str, bare: str) -> float | None:
    last = bare[-1]
    if last in _SENTENCE:
        return 0.0 if ends_sentence(left) else TORN
    if last in _CLAUSE:
        return _CLAUSE[last]
    if last in _DASHES and len(bare) <= 2:
        return 8.0
    return None


def _unspaced(left: str, right: str) -> float:
    return NOWHERE - 10 if phrase_start(left, right) else NOWHERE + 25


def _by_words(bare: str, right: str, language: str | None) -> float:
    leaders, leaners = _words(language)
    before, after = bare.strip('"“‘«([¿¡').lower(), right.strip(",.;:?!\"'“”‘’«»()[]…").lower()
    points = NOWHERE
    if before in leaners:
        points += 90
    elif before in leaders:
        points += 80
    if after in leaders:
        points -= 18
    if before.isdigit() or (bare[0].isupper() and right[0].isupper() and language != "de"):
        points += 20  # 5 minutes, Ada Lovelace
    return points
