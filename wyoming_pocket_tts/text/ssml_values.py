"""Reads the values of SSML's attributes, and says text as ``say-as`` wants it. Knows nothing about elements."""

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

SILENT_DB: Final = -math.inf
"""Of ``volume="silent"``: nothing within it is heard, however loud."""

_TIME: Final = re.compile(r"\+?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(ms|s)", re.ASCII | re.IGNORECASE)
_NUMBER: Final = re.compile(r"([+-]?)(\d{1,6}(?:\.\d{0,9})?|\.\d{1,9})\s*(%|db)?", re.ASCII | re.IGNORECASE)

STRENGTHS: Final = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.5, "strong": 0.75, "x-strong": 1.25}
"""Seconds of a ``break``."""
RATES: Final = {"x-slow": 0.6, "slow": 0.8, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.5}
"""Factors of a ``prosody rate``."""
VOLUMES: Final = {
    "silent": SILENT_DB, "x-soft": -12.0, "soft": -6.0, "medium": 0.0, "default": 0.0, "loud": 4.0, "x-loud": 8.0,
}  # fmt: skip
"""Decibels of a ``prosody volume``."""
_SLOWEST, _FASTEST = 0.1, 10.0


def seconds(value: str) -> float | None:
    """The time that ``500ms`` or ``0.5s`` means; None for anything else."""
    match = _TIME.fullmatch(value.strip())
    if match is None:
        return None
    return float(match[1]) / (1_000 if match[2].lower() == "ms" else 1)


def speed(value: str) -> float | None:
    """The factor that a rate means: a word, ``80%``, ``+20%``, ``1.2``; None for anything else."""
    value = value.strip().lower()
    if value in RATES:
        return RATES[value]
    match = _NUMBER.fullmatch(value)
    if match is None or match[3] == "db" or (match[1] and not match[3]):
        return None
    amount = float(match[2]) / (100 if match[3] else 1)
    factor = {"": amount, "+": 1 + amount, "-": 1 - amount}[match[1]]
    return factor if _SLOWEST <= factor <= _FASTEST else None


def volume_db(value: str) -> float | None:
    """The gain that a volume means: a word, ``+6dB``, 0 to 100, ``+10%``; None for anything else."""
    value = value.strip().lower()
    if value in VOLUMES:
        return VOLUMES[value]
    match = _NUMBER.fullmatch(value)
    if match is None:
        return None
    sign = -1 if match[1] == "-" else 1
    amount = float(match[2])
    if match[3] == "db":
        return sign * amount
    if match[1]:
        factor = 1 + sign * amount / 100
    elif amount <= 100:  # noqa: PLR2004  (per cent)
        factor = amount / 100
    else:
        return None
    return SILENT_DB if factor <= 0 else 20 * math.log10(factor)


def say_as(text: str, kind: str, order: str, language: str) -> str | None:
    """The text in a form that is read as it is meant; None for a kind that nobody knows.

    Letters and digits become words at once. Dates, times and amounts are left to be read like any text, which knows
    how to; only the order of a date's parts is made plain.

    Args:
        text: what is written.
        kind: of ``interpret-as``.
        order: of ``format``; for dates as ``mdy``.
        language: BCP-47 tag.
    """
    text = " ".join(text.split())
    sayer = _KINDS.get(kind.strip().lower())
    if sayer is None:
        return None
    return sayer(text, order.strip().lower(), language.replace("_", "-").partition("-")[0].lower()) or text


def _spelled(text: str, _order: str, language: str) -> str:
    said = (_digit(char, language) if char.isdecimal() else char.upper() for char in text if not char.isspace())
    return ", ".join(said)


def _digits(text: str, _order: str, language: str) -> str:
    groups = ("".join(char for char in group if char.isdecimal()) for group in re.split(r"[^\w.]+", text))
    return ", ".join(" ".join(_digit(char, language) for char in group) for group in groups if group)


def _telephone(text: str, order: str, language: str) -> str:
    plus = "+" if text.startswith("+") else ""
    digits = _digits(text, order, language)
    return f"{_plus(language)} {digits}" if plus and digits else digits


def _cardinal(text: str, _order: str, language: str) -> str:
    return _number(text, language, "cardinal")


def _ordinal(text: str, _order: str, language: str) -> str:
    match = re.fullmatch(r"([+-]?\d+)\D{0,3}", text)
    return _number(match[1], language, "ordinal") if match else ""


def _date(text: str, order: str, _language: str) -> str:
    parts = re.findall(r"\d+", text)
    if sorted(order) != ["d", "m", "y"] or len(parts) != len(order) or not re.fullmatch(r"[\d\s./-]+", text):
        return text
    year, month, day = (int(parts[order.index(part)][:4]) for part in "ymd")
    if not (1 <= month <= 12 and 1 <= day <= 31 and year >= 1_000):  # noqa: PLR2004  (a calendar's)
        return text
    return f"{year:04}-{month:02}-{day:02}"


def _as_it_is(text: str, _order: str, _language: str) -> str:
    return text


_KINDS: Final[dict[str, Callable[[str, str, str], str]]] = {
    "characters": _spelled,
    "character": _spelled,
    "spell-out": _spelled,
    "verbatim": _spelled,
    "digits": _digits,
    "number_digit": _digits,
    "cardinal": _cardinal,
    "number": _cardinal,
    "ordinal": _ordinal,
    "telephone": _telephone,
    "date": _date,
    **dict.fromkeys(("time", "currency", "unit", "fraction", "address", "name", "duration", "measure"), _as_it_is),
}

_MOST_DIGITS: Final = 15
"""Of a number that is said as one: few enough for a ``float`` to hold them all."""
_PLUS: Final = {"es": "más", "fr": "plus", "it": "più", "pt": "mais"}


def _digit(digit: str, language: str) -> str:
    return _number(str(int(digit)), language, "cardinal") or digit


def _plus(language: str) -> str:
    return _PLUS.get(language, "plus")


@lru_cache(maxsize=1_024)  # a digit takes a tenth of a millisecond
def _number(text: str, language: str, kind: str) -> str:
    """A number in words; nothing where the text is none or the language has no words here."""
    from num2words import num2words  # type: ignore[import-untyped]  # noqa: PLC0415  (loads all its languages, for the few who ask)

    plain = text.replace(",", "") if language == "en" else text
    if not re.fullmatch(r"[+-]?\d+(?:\.\d+)?", plain, re.ASCII):
        return ""
    if sum(map(str.isdecimal, plain)) > _MOST_DIGITS:
        return _digits(plain, "", language) if kind == "cardinal" and plain.isdecimal() else ""
    value = float(plain) if "." in plain else int(plain)  # from text it makes a Decimal, forty times slower
    try:
        words: str = num2words(value, lang=language, to=kind)
    except (NotImplementedError, ValueError, TypeError, OverflowError, IndexError):
        return ""
    return words.replace(",", "")
