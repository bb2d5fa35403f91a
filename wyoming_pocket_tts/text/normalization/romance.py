"""French, Italian, Spanish, Portuguese (PT, BR)."""

# ruff: noqa: RUF001  (signs that look like others are read here)

import re
from typing import ClassVar, Final, TypeVar

from wyoming_pocket_tts.text.normalization.data import LanguageData, Noun, UnitWords
from wyoming_pocket_tts.text.normalization.grammar import ParsedNumber, before, number_words
from wyoming_pocket_tts.text.normalization.western import WesternGrammar, thousands
from wyoming_pocket_tts.text.normalization.words import roman

_FRENCH_VOWELS: Final = "aeiouhéèêâîôûœ"
_PAIR, _TRIPLE = 2, 3
_FRENCH_CENTURY = re.compile(r"(?<![\w'-])([IVX]{1,8})(er|re|ère|ème|e|ᵉ)(?!\w)")
_PLURAL_FROM = 2
_ROUND_THE_CLOCK = re.compile(r"(?<![\w.,/])24/7(?!\w)")
_OUT_OF = re.compile(r"(?<![\w.,/])(\d{1,2})\s?([hj])\s?/\s?(\d{1,2})(?!\w)")
_ITALIAN_VOWELS: Final = "aeiouh"
_NEEDS_UNO = re.compile(r"s[^aeiouh]|z|gn|ps|x|y")
_DOTTED_TIME = re.compile(r"\b((?i:alle|dalle|ore|le|all'|dall')\s?)([01]?\d|2[0-4])\.([0-5]\d)(?![\d:]|[.,]\d)")
_AT_ONE = re.compile(r"\b([Aa]l|[Dd]al|[Dd]el|[Ss]ul)le\s(?=0?1:[0-5]\d)")
_IS_ONE = re.compile(r"\b(S|s)ono le\s(?=0?1:[0-5]\d)")
_DOTTED_RANGE = re.compile(r"(?<=\d:\d\d)\s?([-–]|e|o)\s?([01]?\d|2[0-4])\.([0-5]\d)(?![\d:]|[.,]\d)")
_FROM_THE_FIRST = re.compile(r"\b(?:([Dd]al|[Aa]l)l'|([Ll])')1(?=\s(al|[a-z]{5,9})\b)")
_ONE_OF_IT = re.compile(r"(?<![\w.,:/'+~±≈-])(?<![-−–+] )1 ([a-zà-ÿ]{3,30})(?!\w|')")
_NOON: Final = 12
_CLOCK_H = re.compile(r"(?<=\d:[0-5]\d)\s?h(?:r?s)?(?!\w)")
_QUARTER, _HALF = 15, 30
_ONE_DIGIT = 10
_MASCULINE = re.compile(r"\b(um|dois)\b|(entos)\b")
_FEMININE: Final = {"um": "uma", "dois": "duas", "entos": "entas"}
_PLURAL_FORMS: Final = {"mp": "m", "fp": "f"}
_BRAZILIAN: Final = {
    "quilómetro": "quilômetro", "nanómetro": "nanômetro", "micrómetro": "micrômetro", "cêntimo": "centavo",
    "canadiano": "canadense", "checa": "tcheca", "mil milhões": "bilhão",
    "humidade": "umidade", "telemóvel": "celular", "respetivamente": "respectivamente",
}  # fmt: skip
_BRAZILIAN_WORD = re.compile("|".join(_BRAZILIAN))
_N = TypeVar("_N", bound=Noun)


class FrenchGrammar(WesternGrammar):
    language = "fr"
    titles: ClassVar = {"M": "Monsieur", "Me": "Maître"}
    halves: ClassVar = {"": "un demi", "m": "un demi", "f": "une demi"}
    and_a_half: ClassVar = {"m": "et demi", "f": "et demie"}
    of = "de"

    def cardinal(self, value: int, gender: str = "") -> str:
        words = number_words(value, self.language)
        is_feminine = self.for_this(value, gender) == "f" and re.search(r"(?:^|[ -])un$", words)
        return f"{words}e" if is_feminine else words

    def ordinal(self, value: int, form: str = "") -> str:
        if form in ("nd", "nde"):
            return "second" if form == "nd" else "seconde"
        words = number_words(value, self.language, "ordinal")
        return "première" if words == "premier" and form == "f" else words

    def phone(self, groups: list[str]) -> str:
        return ", ".join(self._group(group) for group in groups)

    def _group(self, group: str) -> str:
        if len(group) == _PAIR * 2 and "0" not in (group[0], group[2]):
            return f"{self.cardinal(int(group[:2]))} {self.cardinal(int(group[2:]))}"
        return self.cardinal(int(group)) if group[0] != "0" and len(group) <= _TRIPLE else self.digits(group)

    def is_singular(self, amount: ParsedNumber) -> bool:
        return amount.value < _PLURAL_FROM

    def behind_scale(self, noun: str) -> str:
        return f"d'{noun}" if noun[0].lower() in _FRENCH_VOWELS else f"de {noun}"

    def day(self, value: int, *, before: str = "") -> str:
        return "premier" if value == 1 else super().day(value, before=before)

    def hour(self, value: int) -> str:
        return f"{self.cardinal(value, 'f')} {'heure' if value < _PLURAL_FROM else 'heures'}"

    def time_of_day(self, hour: int, minute: int) -> str:
        return f"{self.hour(hour)} {self.cardinal(minute, 'f')}" if minute else self.hour(hour)

    def regnal(self, value: int, name: str) -> str:
        if value != 1:
            return self.cardinal(value)
        return "première" if name in self.data.extra["feminine_names"] else "premier"

    def before_numbers(self, text: str) -> str:
        text = _ROUND_THE_CLOCK.sub("24h/24 et 7j/7", text)
        return super().before_numbers(_OUT_OF.sub(self._say_out_of, text))

    def _say_out_of(self, match: re.Match[str]) -> str:
        """ "24h/24" and "7j/7"."""
        unit = self.data.units["hour" if match[2] == "h" else "day"]
        return f"{self.counted(ParsedNumber(match[1]), unit)} {self.words.out_of} {self.cardinal(int(match[3]))}"

    def before_words(self, text: str) -> str:
        return _FRENCH_CENTURY.sub(self._say_century, super().before_words(text))

    def _say_century(self, match: re.Match[str]) -> str:
        """ "XXIe siècle"; also "François Ier"."""
        value = roman(match[1])
        return self.ordinal(value, self.data.ordinal_suffixes.get(match[2], "m")) if value else match[0]


class ItalianGrammar(WesternGrammar):
    language = "it"
    last_regnal_ordinal = 99
    grouped_phones = r"3\d{2}[ .-]\d{3}[ .-]?\d{3,4}|0\d{1,3}[ /-]\d{5,8}|800 \d{3} \d{3}"
    titles: ClassVar = {"S": "San"}
    winds: ClassVar = {"O": "ovest", "E": "est"}
    wind_prepositions = "da|verso|a"
    halves: ClassVar = {"": "un mezzo", "m": "mezzo", "f": "mezza"}
    and_a_half: ClassVar = {"m": "e mezzo", "f": "e mezza"}
    of = "di"
    articles = frozenset(
        {"il", "lo", "i", "gli", "del", "dello", "al", "allo", "nel", "dal", "sul", "suo", "mio", "un"}
    )

    def cardinal(self, value: int, gender: str = "") -> str:
        if value == 1 and gender[:1] in ("m", "f"):
            return "un" if gender[0] == "m" else "una"
        return number_words(value, self.language)

    def ordinal(self, value: int, form: str = "") -> str:
        words = number_words(value, self.language, "ordinal")
        return f"{words[:-1]}a" if form == "f" else words

    def counted(self, amount: ParsedNumber, noun: Noun, *, before: str = "", form: str = "") -> str:
        if amount.is_one and self.gender(noun) == "f" and noun.one[0].lower() in _ITALIAN_VOWELS:
            return f"un'{noun.one}"
        if amount.is_one and self.gender(noun) == "m" and _NEEDS_UNO.match(noun.one):
            return f"uno {noun.one}"
        return super().counted(amount, noun, before=before, form=form)

    def per(self, noun: Noun, per: str = "") -> str:
        """ "al mese", "alla settimana", "all'anno"."""
        name = noun.one
        if per:
            return per
        if name[0].lower() in _ITALIAN_VOWELS:
            return f"all'{name}"
        if (self.gender(noun) if isinstance(noun, UnitWords) else self.gender_of(name)) == "f":
            return f"alla {name}"
        return f"allo {name}" if _NEEDS_UNO.match(name) else f"al {name}"

    def day(self, value: int, *, before: str = "") -> str:
        return "primo" if value == 1 else super().day(value, before=before)

    def hour(self, value: int) -> str:
        return self.cardinal(value, "f")

    def time_of_day(self, hour: int, minute: int) -> str:
        return f"{self.hour(hour)} e {self.cardinal(minute)}" if minute else self.hour(hour)

    def takes_ordinal(self, after: str, sign: str) -> bool:
        return self._takes_ordinal.match(after) is not None

    def before_numbers(self, text: str) -> str:
        text = _DOTTED_TIME.sub(r"\1\2:\3", text)
        text = _DOTTED_RANGE.sub(r" \1 \2:\3", text)
        text = _IS_ONE.sub(lambda match: f"{'È' if match[1] == 'S' else 'è'} l'", _AT_ONE.sub(r"\1l'", text))
        text = _FROM_THE_FIRST.sub(self._say_first, text)
        return super().before_numbers(_ONE_OF_IT.sub(self._say_one, text))

    def _say_first(self, match: re.Match[str]) -> str:
        """ "l'1 maggio" is "il primo maggio"; "all'1" alone is a time."""
        if match[3] != "al" and match[3] not in self.data.dates.months:
            return match[0]
        return f"{match[1] or ('Il' if match[2] == 'L' else 'il')} primo"

    def _say_one(self, match: re.Match[str]) -> str:
        """ "un'ora", "uno studente": the article depends on the noun's first letters."""
        is_other = self.is_label(before(match)) or match[1] in self._units_of or match[1] in self.data.dates.months
        gender = "" if is_other else self.gender_of(match[1])
        return self.counted(ParsedNumber("1"), Noun(one=match[1], gender=gender)) if gender else match[0]


def spanish_feminine(words: str) -> str:
    """The feminine of number words; those before "millones" stay masculine."""
    head, million, tail = words.rpartition("illones")
    tail = tail.replace("cientos", "cientas").replace("quinientos", "quinientas")
    return head + million + (f"{tail[:-1]}a" if tail.endswith("uno") else tail)


class SpanishGrammar(WesternGrammar):
    language = "es"
    grouped_phones = r"[6-9]\d{2} \d{3} \d{3}|[6-9]\d{2}(?: \d{2}){3}|9\d \d{3} \d{2} \d{2}"
    titles: ClassVar = {"D": "don", "S": "san"}
    winds: ClassVar = {"O": "oeste", "E": "este"}
    wind_prepositions = "del|al|el|de|desde"
    halves: ClassVar = {"": "un medio", "m": "medio", "f": "media"}
    and_a_half: ClassVar = {"m": "y medio", "f": "y media"}
    of = "de"
    articles = frozenset({"el", "los", "del", "al", "un", "su", "mi", "tu", "este"})

    def cardinal(self, value: int, gender: str = "") -> str:
        words = number_words(value, self.language).replace("veintiuno mil", "veintiún mil").replace("uno mil", "un mil")
        gender = self.for_this(value, gender)
        if gender == "f":
            return spanish_feminine(words)
        if gender == "m" and words.endswith("uno"):
            return f"{words[:-3]}ún" if words.endswith("veintiuno") else words[:-1]
        return words

    def ordinal(self, value: int, form: str = "") -> str:
        words = number_words(value, self.language, "ordinal")
        if form == "f":
            return " ".join(f"{word[:-1]}a" for word in words.split())
        return words[:-1] if form == "er" and words.endswith(("primero", "tercero")) else words

    def time_of_day(self, hour: int, minute: int) -> str:
        said = self.cardinal(hour, "f")
        if 0 < hour <= _NOON:
            special = {0: "", _QUARTER: " y cuarto", _HALF: " y media"}
            return said + special.get(minute, f" y {self.cardinal(minute)}")
        zero = f"{self.cardinal(0)} " if minute < _ONE_DIGIT else ""
        return f"{said} {zero}{self.cardinal(minute)}" if minute else f"{said} horas"

    def per(self, noun: Noun, per: str = "") -> str:
        return f"al {noun.one}" if noun.one in self.data.extra["times"] else super().per(noun, per)

    def ordinal_before(self, value: int, gender: str) -> str:
        return self.ordinal(value, gender if gender == "f" else "er")

    def before_numbers(self, text: str) -> str:
        return super().before_numbers(thousands(_CLOCK_H.sub("", text)))


def portuguese_feminine(words: str) -> str:
    """The feminine of number words; those before "milhões" stay masculine."""
    head, million, tail = words.rpartition("ilhões")
    if not million:
        head, million, tail = words.rpartition("ilhão")
    return head + million + _MASCULINE.sub(lambda match: _FEMININE[match[0]], tail)


class PortugueseGrammar(WesternGrammar):
    language = "pt"
    grouped_phones = r"[289]\d{2} \d{3} \d{3}|\d{4,5}-\d{3}|[29]\d \d{3} \d{2} \d{2}|(?:\(\d{2}\)|\d{2}) ?9?\d{4}-\d{4}"
    titles: ClassVar = {"D": "dom", "S": "São"}
    winds: ClassVar = {"O": "oeste", "E": "este"}
    wind_prepositions = "de|do|para|a"
    halves: ClassVar = {"": "um meio", "m": "meio", "f": "meia"}
    and_a_half: ClassVar = {"m": "e meio", "f": "e meia"}
    of = "de"
    articles = frozenset({"o", "os", "do", "dos", "no", "nos", "ao", "aos", "pelo", "um", "meu", "seu", "teu"})

    def cardinal(self, value: int, gender: str = "") -> str:
        words = number_words(value, self.language)
        return portuguese_feminine(words) if self.for_this(value, gender) == "f" else words

    def ordinal(self, value: int, form: str = "") -> str:
        words = number_words(value, self.language, "ordinal")
        if _PLURAL_FORMS.get(form, form) == "f":
            words = " ".join(f"{word[:-1]}a" for word in words.split())
        return " ".join(f"{word}s" for word in words.split()) if form in _PLURAL_FORMS else words

    def hour(self, value: int) -> str:
        return self.cardinal(value, "f")

    def time_of_day(self, hour: int, minute: int) -> str:
        name = "" if minute and hour else " hora" if hour == 1 else " horas"
        return f"{self.hour(hour)}{name} e {self.cardinal(minute)}" if minute else f"{self.hour(hour)}{name}"

    def title(self, letter: str, name: str) -> str:
        return "dona" if letter == "D" and name.endswith("a") else super().title(letter, name)

    def before_numbers(self, text: str) -> str:
        return super().before_numbers(thousands(text))


def _in_brazil(words: str) -> str:
    return _BRAZILIAN_WORD.sub(lambda match: _BRAZILIAN[match[0]], words)


def _nouns(nouns: dict[str, _N]) -> dict[str, _N]:
    fields = ("one", "many", "per", "cent", "cents")
    return {
        name: noun.model_copy(update={key: _in_brazil(getattr(noun, key)) for key in fields if hasattr(noun, key)})
        for name, noun in nouns.items()
    }


def _brazilian(data: LanguageData) -> LanguageData:
    return data.model_copy(
        update={
            "units": _nouns(data.units),
            "currencies": _nouns(data.currencies),
            "words": data.words.model_copy(update={"divided": "dividido por"}),
            "symbols": {sign: _in_brazil(words) for sign, words in data.symbols.items()} | {"#": "hashtag"},
            "abbreviations": tuple(
                entry.model_copy(update={"long": _in_brazil(entry.long)}) for entry in data.abbreviations
            ),
            "denominators": data.denominators | {16: ("dezesseis avos", "dezesseis avos")},
        }
    )


class BrazilianGrammar(PortugueseGrammar):
    def __init__(self, data: LanguageData) -> None:
        super().__init__(_brazilian(data))

    def cardinal(self, value: int, gender: str = "") -> str:
        words = number_words(value, "pt_BR")
        return portuguese_feminine(words) if self.for_this(value, gender) == "f" else words

    def day(self, value: int, *, before: str = "") -> str:
        return "primeiro" if value == 1 else super().day(value, before=before)
