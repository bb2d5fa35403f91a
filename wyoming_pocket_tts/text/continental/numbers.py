"""Numbers as continental texts write them: commas before decimals, groups of three by dot or space. Knows no words."""

from dataclasses import dataclass
from typing import Final

NUMBER: Final = (
    r"(?:\d{1,3}(?:\.\d{3})++(?!\.?\d)(?:,\d++)?"  # 1.234,5
    r"|[1-9]\d{0,2}(?: \d{3}){1,6}+(?!\d)(?:,\d++)?"  # 1 234,5; bounded, as each group could start another
    r"|\d{1,3}(?:'\d{3}){1,6}+(?!\d)(?:[.,]\d++)?"  # 1'234.5
    r"|\d{1,3}(?:,\d{3})++\.\d++"  # 1,234.5, as programs write it
    r"|\d++(?:[.,]\d++)?)"
)
"""A number without sign. A single dot is a decimal point unless three digits follow it: programs write "21.5"."""
MAX_CARDINAL_DIGITS: Final = 15
"""Longer ones are read digit by digit."""
_GROUP = 3


@dataclass(frozen=True, slots=True)
class Amount:
    """A ``NUMBER``, understood: digits before and behind the decimal mark."""

    integer: str
    fraction: str = ""

    @property
    def is_whole(self) -> bool:
        return not self.fraction

    @property
    def is_code(self) -> bool:
        """Whether its digits are read one by one: a leading zero, or too many for a quantity."""
        return len(self.integer) > MAX_CARDINAL_DIGITS or (len(self.integer) > 1 and self.integer[0] == "0")

    @property
    def is_one(self) -> bool:
        return self.integer == "1" and not self.fraction

    @property
    def value(self) -> float:
        return float(f"{self.integer}.{self.fraction or 0}")


def amount(text: str) -> Amount:
    """Understand what ``NUMBER`` has matched."""
    text = text.replace(" ", "").replace("'", "")
    mark = max(text.rfind(","), text.rfind("."))
    if mark >= 0 and text[mark] == "." and "," not in text and _is_grouped(text):
        mark = -1
    integer, fraction = (text[:mark], text[mark + 1 :]) if mark >= 0 else (text, "")
    return Amount(integer.replace(".", "").replace(",", ""), fraction)


def _is_grouped(text: str) -> bool:
    """Whether its dots separate thousands: "1.234", but not "0.125", "1234.567" and "21.5"."""
    first, *groups = text.split(".")
    return 0 < len(first) <= _GROUP and first != "0" and all(len(group) == _GROUP for group in groups)
