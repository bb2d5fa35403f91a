"""What a person would say: one sentence as written in, the same as spoken out. Knows languages only by their name.

English has a data file (``en.yaml``) and a package with its rules (``english``). The other languages share theirs
(``continental``) and bring a data file and their grammar each. Text in a language without data passes unchanged.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

_REGIONS: Final = frozenset({"pt-br"})
"""The regions that ``continental`` knows apart; named here so that English does not load it."""


@lru_cache(maxsize=32)  # texts may name any language
def _rules(language: str) -> Callable[[str], str] | None:
    """The rules of a language (two letters) or region, loaded when it is first spoken."""
    if language == "en":
        from wyoming_pocket_tts.text.english import English  # noqa: PLC0415  (only what is spoken is loaded)
        from wyoming_pocket_tts.text.language_data import load_english  # noqa: PLC0415

        return English(load_english())
    from wyoming_pocket_tts.text.continental import GRAMMARS, load_grammar  # noqa: PLC0415
    from wyoming_pocket_tts.text.continental.rules import Continental  # noqa: PLC0415

    return Continental(load_grammar(language)) if language in GRAMMARS or language in _REGIONS else None


def normalize(text: str, language: str = "en") -> str:
    """The words of a sentence: no digits, symbols or markup, only letters, apostrophes and ``. , ; : ? ! -``.

    Nothing is lost: what no rule knows passes unchanged. Normalising again changes nothing. Linear in time.

    Args:
        text: a sentence; several are read as well, but line ends become spaces.
        language: BCP-47 tag; the part before the first hyphen decides, but for pt-BR.
    """
    tag = language.replace("_", "-").lower()
    rules = _rules(tag if tag in _REGIONS else tag.partition("-")[0])
    return text if rules is None else rules(text)
