"""Signs that are words, signs that are pauses, apostrophes, and the last tidying. Knows no language but its words."""

# ruff: noqa: RUF001  (dashes and signs that look like others are read here)

import re
from collections.abc import Collection, Mapping

_PAUSE = re.compile(r"\s*[—–]\s*|\s+-{1,3}(?=\s|$)|-{2,}|\s*[•·|]\s*|\s*[\[\](){}]+\s*")
_ODD_HYPHEN = re.compile(r"(?<!\w)-+|-+(?!\w)")
_NO_SPACE_BEHIND = re.compile(r"(?<=\w)[,;:](?=\w)|(?<=[a-z])[!?](?=[A-Z])")
_QUOTE = re.compile(r"[\"«»‹›„]+")
_SPACE_BEFORE = re.compile(r"\s+([.,;:!?])")
_COMMA_RUN = re.compile(r",(?:\s*,)+")
_COMMA_BEFORE = re.compile(r",+\s*(?=[.;:!?])")
_COMMA_BEHIND = re.compile(r"(?<=[.;:!?])\s*,+(?=\s|$)")
_EDGES = re.compile(r"\A[\s,;:.]+|[\s,]+\Z")


class Signs:
    """Reads signs as words or pauses.

    Args:
        words: what each sign means.
        leading: words (lower case) that keep an apostrophe in front of them.
        kept_behind: letters after which a last apostrophe is kept: it stands for what is left out.
        trailing: words (lower case) that keep an apostrophe behind them.
    """

    def __init__(
        self,
        words: Mapping[str, str],
        *,
        leading: Collection[str] = (),
        kept_behind: str = "",
        trailing: Collection[str] = (),
    ) -> None:
        self._words = words
        signs = "|".join(re.escape(sign) for sign in sorted(words, key=len, reverse=True))
        self._sign = re.compile(rf"\s*(?:{signs})\s*")
        self._leading, self._trailing = leading, trailing
        before = rf"(?<=[^\W{kept_behind}])" if kept_behind else r"(?<=\w)"
        self._apostrophe = re.compile(rf"(?<!\w)'+(\w*)|(?<=\w)'{{2,}}|{before}'(?!\w)")
        self._word_end = re.compile(r"[^\W\d_]{1,12}\Z")

    def __call__(self, text: str) -> str:
        text = self._sign.sub(lambda match: f" {self._words[match[0].strip()]} ", text)
        text = _ODD_HYPHEN.sub(" ", _PAUSE.sub(", ", text.replace("_", " ")))
        text = _NO_SPACE_BEHIND.sub(r"\g<0> ", text)
        return self._apostrophe.sub(self._say_apostrophe, _QUOTE.sub("", text))

    def _say_apostrophe(self, match: re.Match[str]) -> str:
        word = match[1] or ""
        if word.lower() in self._leading:
            return f"'{word}"
        if self._trailing and match[0] == "'" and not word:
            before = self._word_end.search(match.string, max(0, match.start() - 12), match.start())
            if before and before[0].lower() in self._trailing:
                return "'"
        return word


def tidy(text: str) -> str:
    """One space between words, none before a mark, no two pauses in a row, none at the edges."""
    text = " ".join(text.split())
    text = _SPACE_BEFORE.sub(r"\1", text)
    text = _COMMA_BEFORE.sub("", _COMMA_RUN.sub(",", text))
    text = _COMMA_BEHIND.sub("", text)
    return " ".join(_EDGES.sub("", text).split())
