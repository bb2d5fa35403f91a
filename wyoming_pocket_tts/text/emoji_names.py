"""The names of emoji, in the languages that are spoken. Knows nothing of the text around them but its edges.

The names are those of the package ``emoji``; ``emoji.yaml`` has the commonest for languages that it does not know.
"""

import re
from functools import cache
from typing import Final

from pydantic import TypeAdapter

from wyoming_pocket_tts.text.language_data import read_yaml
from wyoming_pocket_tts.text.markup import EMOJI

_RUN = re.compile(f"({EMOJI.pattern})")
_NAME = re.compile("\x00([^\x00]+)\x00")
_WITHOUT_SKIN_TONE: Final = dict.fromkeys(range(0x1F3FB, 0x1F400))


def say_emoji(text: str, language: str) -> str:
    """Put the name of each emoji in its place, as a clause of its own. One without a name in the language stays.

    The same one several times in a row is said once, and skin tones are not said.
    """
    pieces = _RUN.split(text)
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
    import emoji  # noqa: PLC0415  (names of thousands of emoji, for those who want to hear them)

    if language not in emoji.LANGUAGES:
        return []
    marked = emoji.demojize(run, delimiters=("\x00", "\x00"), language=language)
    return [name.replace("_", " ").replace("-", " ") for name in _NAME.findall(marked)]


@cache
def _own_names() -> dict[str, dict[str, str]]:
    return TypeAdapter(dict[str, dict[str, str]]).validate_python(read_yaml("emoji.yaml"))
