"""Markdown, HTML and emoji to plain text."""

# ruff: noqa: RUF001  (characters that look like others are what is replaced here)

import html
import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final

_HTML_NAMES: Final = (
    "a|abbr|b|big|blockquote|br|button|caption|center|code|dd|del|details|div|dl|dt|em|font|footer|h[1-6]|head|header|hr"
    "|html|body|i|img|input|ins|kbd|label|li|main|mark|meta|nav|ol|p|pre|q|s|samp|script|section|small|span|strike|strong"
    "|style|sub|summary|sup|svg|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var|video|ha-icon|ha-alert"
)
_HTML_COMMENT = re.compile(r"<!--(?:(?!<!--|-->).)*+-->", re.DOTALL)
_HTML_BREAK = re.compile(r"<(?:br|hr|/p|/div|/li|/tr|/td|/th|/h[1-6])\b[^<>]*+>", re.IGNORECASE)
_HTML_TAG = re.compile(rf"</?(?:{_HTML_NAMES})(?=[\s/>])[^<>]*+>", re.IGNORECASE)
_THOUGHTS = re.compile(r"<(think(?:ing)?)>(?:(?!<think).)*?</\1>", re.DOTALL | re.IGNORECASE)
_SPEECH_TAG = re.compile(
    r"</?(?:break|speak|prosody|voice|emphasis|phoneme|say-as|audio|lang|think|thinking)(?=[\s/>])[^<>]*+>",
    re.IGNORECASE,
)
"""Markup of SSML in plain text, and of language models: not spoken, but it separates words."""
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)?[^\s<>]++)>")

_LINE_START = re.compile(
    r"^[ \t]*+(?:(?:```|~~~)[\w+-]*[ \t]*$|#{1,6}(?:[ \t]++|$)|>++[ \t]*+|(?:[-*+•·‣◦–—][ \t]++(?:\[[ xX]\][ \t]++)?)++"
    r"|(?:[-*_=][ \t]*+){3,}$|\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t:-]*)*$)",
    re.MULTILINE,
)
_IMAGE_OR_LINK = re.compile(r"!?\[([^\[\]]*+)\]\((?:[^()\s]|\([^()\s]*+\))*+(?:\s\"[^\"()]*+\")?\)")
_REFERENCE = re.compile(r"\[([^\[\]]++)\]\[[^\[\]]*+\]")
_FOOTNOTE = re.compile(r"\[\^?\d{1,3}\]|\[\^\w{1,20}\]")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!~|>-])")
_CODE_TICKS = re.compile(r"`++")
_ASTERISKS = re.compile(r"\*++(?!(?<=\d\*)\s?\d)(?!(?<=\d\s\*)\s?\d)")
_UNDERSCORES = re.compile(r"(?<![^\W_])_++|_++(?![^\W_])")
_STRIKE = re.compile(r"~~++")
_CELL = re.compile(r"[ \t]*+\|++[ \t]*+")

EMOJI: Final = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u231a\u231b\u23cf\u23e9-\u23fa\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55"
    "\u200d\ufe0e\ufe0f\u20e3\u3030\u303d\u3297\u3299\U000e0020-\U000e007f]++"
)
"""Emoji in a row."""
_EMOJI_RUN = re.compile(f"({EMOJI.pattern})")
_EMOJI_NAME = re.compile("\x00([^\x00]+)\x00")
_WITHOUT_SKIN_TONE: Final = dict.fromkeys(range(0x1F3FB, 0x1F400))
_INVISIBLE = re.compile("[\u00ad\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\x00-\x08\x0e-\x1b\x7f]++")
_OTHER_DIGIT = re.compile(r"[^\D0-9]")
_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_PLAIN: Final = _FULL_WIDTH | str.maketrans(
    {
        "’": "'", "‘": "'", "ʼ": "'", "´": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"',
        "«": '"', "»": '"', "″": '"',
        "‐": "-", "‑": "-", "‒": "–", "―": "—", "⸺": "—", "…": "...", "⁄": "/", "∕": "/", "∗": "*",
        "⋅": "·", "℃": "°C", "℉": "°F",
        "㎡": "m²", "㎥": "m³",
        "ﬁ": "fi", "ﬂ": "fl",
        "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u3000": " ", "。": ". ", "、": ", ", "¹": "1", "⁰": "0",
        **{chr(0x2080 + digit): str(digit) for digit in range(10)},
        **{chr(0x2070 + digit): f"^{digit}" for digit in range(4, 10)},
        "™": "", "®": "", "¿": "", "¡": "",
    }
)  # fmt: skip


@lru_cache(maxsize=16)
def _plain(kept: str) -> Mapping[int, str | int]:
    return {code: plain for code, plain in _PLAIN.items() if chr(code) not in kept}


PLAIN_SENTENCE = re.compile(r"[A-Za-z][A-Za-z0-9.,:;!?'%()-]*+(?: [A-Za-z0-9.,:;!?'%()-]++)*+")
"""Most sentences: ``strip_markup`` leaves them as they are."""


def strip_markup(text: str, kept: str = "") -> str:
    """Remove markup and emoji; leave plain characters: straight apostrophes, ASCII digits, ordinary spaces.

    Line ends become spaces; brackets and quotation marks stay. ``kept``: characters that would become others or
    nothing, and that the language needs ("¿¡").
    """
    if "<" in text:
        text = _SPEECH_TAG.sub(" ", _THOUGHTS.sub(" ", text))
        text = _HTML_COMMENT.sub(" ", text)
        text = _HTML_BREAK.sub(" ", text)
        text = _AUTOLINK.sub(r"\1", _HTML_TAG.sub("", text))
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
    if not text.isascii():
        text = EMOJI.sub(" ", _INVISIBLE.sub("", text)).translate(_plain(kept))
        text = _OTHER_DIGIT.sub(lambda match: str(unicodedata.digit(match.group())), text)
    text = _LINE_START.sub("", text)
    if "[" in text:
        text = _IMAGE_OR_LINK.sub(r"\1", text)
        text = _FOOTNOTE.sub("", _REFERENCE.sub(r"\1", text))
    if "\\" in text:
        text = _ESCAPE.sub(r"\1", text)
    for mark, pattern, spoken in (
        ("`", _CODE_TICKS, ""),
        ("*", _ASTERISKS, ""),
        ("_", _UNDERSCORES, ""),
        ("~~", _STRIKE, ""),
        ("|", _CELL, ", "),
    ):
        if mark in text:
            text = pattern.sub(spoken, text)
    return " ".join(text.split())


def emoji_to_words(text: str, language: str) -> str:
    """Replace each emoji by its name, as a clause of its own. One without a name in the language stays.

    Repetitions in a row and skin tones are left out. Names are from the package ``emoji``, or from ``emoji.yaml``.
    """
    pieces = _EMOJI_RUN.split(text)
    if len(pieces) == 1:
        return text
    language = language.replace("_", "-").partition("-")[0].lower()
    said = [pieces[0]]
    for run, behind in zip(pieces[1::2], pieces[2::2], strict=True):
        names = _names(run, language)
        if not names:
            said += [run, behind]
            continue
        clause = ", ".join(name for at, name in enumerate(names) if at == 0 or name != names[at - 1])
        front, said[-1] = said[-1].rstrip()[-1:], said[-1].rstrip()
        head = "" if not front and len(said) == 1 else ", " if front.isalnum() else " "
        rest = behind.lstrip()
        tail = ", " if rest[:1].isalnum() else " " if rest != behind and rest else ""
        said += [head + clause + tail, rest]
    return "".join(said)


def _names(run: str, language: str) -> list[str]:
    run = run.translate(_WITHOUT_SKIN_TONE)
    own = _own_names().get(language)
    if own is not None:
        return [own[char] for char in run if char in own]
    import emoji  # noqa: PLC0415  (names of thousands of emoji, seldom wanted)

    if language not in emoji.LANGUAGES:
        return []
    marked = emoji.demojize(run, delimiters=("\x00", "\x00"), language=language)
    return [name.replace("_", " ").replace("-", " ") for name in _EMOJI_NAME.findall(marked)]


@cache
def _own_names() -> dict[str, dict[str, str]]:
    from pydantic import TypeAdapter  # noqa: PLC0415  (markup alone does without)

    from wyoming_pocket_tts.text.normalization.data import read_yaml  # noqa: PLC0415

    return TypeAdapter(dict[str, dict[str, str]]).validate_python(read_yaml("emoji.yaml"))
