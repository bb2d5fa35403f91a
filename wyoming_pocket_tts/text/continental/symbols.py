"""Signs whose meaning needs the digits beside them. Knows no other."""

# ruff: noqa: RUF001  (the multiplication sign is read here)

import re

from wyoming_pocket_tts.text.continental.grammar import Grammar


class Arithmetic:
    """ "2 * 3", "10 / 2", "3 x 4 m", "#1", "2^10"."""

    def __init__(self, grammar: Grammar) -> None:
        self._words = grammar.words
        self._hash_number = re.compile(r"#\s?(?=[A-Za-z]{0,3}\d)")
        self._by = re.compile(
            r"(?<=\d)(?:\s?x\s?|×)(?=\d)|(?:(?<=\d\s[cmk]m)|(?<=\d\sm)|(?<=\d[cmk]m)|(?<=\dm))\s[x×]\s(?=\d)"
        )
        self._divided = re.compile(r"(?<=\d)\s/\s(?=\d)|(?<=\d)\s?÷\s?(?=\d)")
        self._multiplied = re.compile(r"(?<=\d)\s?[*·]\s?(?=\d)")

    def __call__(self, text: str) -> str:
        words = self._words
        text = self._hash_number.sub(f"{words.number} ", text)
        text = self._by.sub(f" {words.times if '=' in text else words.by} ", text)
        return self._multiplied.sub(f" {words.times} ", self._divided.sub(f" {words.divided} ", text))
