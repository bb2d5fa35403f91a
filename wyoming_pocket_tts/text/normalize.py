"""What a person would say: one sentence as written in, the same as spoken out. Knows languages only by their name.

A language is a data file (``en.yaml``), a package with its rules (``english``) and a line in ``_rules``. Text in
other languages passes unchanged.
"""

from collections.abc import Callable
from functools import cache


@cache
def _rules(language: str) -> Callable[[str], str] | None:
    """The rules of a language (two letters), loaded when it is first spoken."""
    if language == "en":
        from wyoming_pocket_tts.text.english import English  # noqa: PLC0415  (only what is spoken is loaded)
        from wyoming_pocket_tts.text.language_data import load_english  # noqa: PLC0415

        return English(load_english())
    return None


def normalize(text: str, language: str = "en") -> str:
    """The words of a sentence: no digits, symbols or markup, only letters, apostrophes and ``. , ; : ? ! -``.

    Nothing is lost: what no rule knows passes unchanged. Normalising again changes nothing. Linear in time.

    Args:
        text: a sentence; several are read as well, but line ends become spaces.
        language: BCP-47 tag; the part before the first hyphen decides.
    """
    rules = _rules(language.replace("_", "-").partition("-")[0].lower())
    return text if rules is None else rules(text)
