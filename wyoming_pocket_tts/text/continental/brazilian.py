"""Portuguese as in Brazil: "dezesseis", "um bilhão", "quilômetros". Knows only what differs from Portugal."""

import re
from typing import Final, TypeVar

from wyoming_pocket_tts.text.continental.data import LanguageData, Noun
from wyoming_pocket_tts.text.continental.grammar import number_words
from wyoming_pocket_tts.text.continental.portuguese import Portuguese, feminine

_WORDS: Final = {
    "quilómetro": "quilômetro", "nanómetro": "nanômetro", "micrómetro": "micrômetro", "cêntimo": "centavo",
    "canadiano": "canadense", "checa": "tcheca", "mil milhões": "bilhão",
    "humidade": "umidade", "telemóvel": "celular", "respetivamente": "respectivamente",
}  # fmt: skip
_KNOWN = re.compile("|".join(_WORDS))
_N = TypeVar("_N", bound=Noun)


def _in_brazil(words: str) -> str:
    return _KNOWN.sub(lambda match: _WORDS[match[0]], words)


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


class Brazilian(Portuguese):
    """The Portuguese grammar with other number words and spellings, and a first of the month."""

    def __init__(self, data: LanguageData) -> None:
        super().__init__(_brazilian(data))

    def cardinal(self, value: int, gender: str = "") -> str:
        words = number_words(value, "pt_BR")
        return feminine(words) if self.for_this(value, gender) == "f" else words

    def day(self, value: int, *, before: str = "") -> str:
        return "primeiro" if value == 1 else super().day(value, before=before)
