"""Shows how settings are written where somebody wrote a value in place of keys, or a list of named things."""

import re

import yaml

from wyoming_pocket_tts.settings import Settings
from wyoming_pocket_tts.settings.clashes import Key
from wyoming_pocket_tts.settings.section import Section, keys_of, section_in

_NAMED = {"voices": "Anna: {from: alba}", "satellites": "Kitchen: {voice: alba}"}
_MEANT = {
    "voice": "default",
    "models": "names",
    "server": "uri",
    "log": "level",
    "voices": "from",
    "satellites": "voice",
}
"""Section, or section of named things -> the key that a lone value is most likely for."""
_NAMED_KEY_LENGTH = 2


def instead(key: Key, value: object) -> str:
    """The end of a message: what to write in place of a value where keys belong; nothing if nobody knows."""
    if len(key) == 1 and key[0] in _NAMED:
        return f"; names stand below it, as in {_NAMED[str(key[0])]}"
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return ""
    known = keys_of(section_at(key))
    run_together = re.fullmatch(r"(\w+)(:| +)(\S.*)", value) if isinstance(value, str) else None
    if run_together and run_together[1] in known:
        missing = "a space belongs behind the colon" if run_together[2] == ":" else "a colon is missing"
        return f"; {missing}: '{run_together[1]}: {run_together[3]}'"
    is_named = len(key) == _NAMED_KEY_LENGTH and key[0] in _NAMED
    if (len(key) == 1 or is_named) and key[0] in _MEANT:
        shown = yaml.safe_dump({_MEANT[str(key[0])]: value}, default_flow_style=True, width=1000).strip()
        return f"; did you mean {key[-1]}: {shown}?"
    return ""


def section_at(key: Key) -> type[Section]:
    """The section that a key leads to, past names that people gave."""
    section: type[Section] = Settings
    for part in key:
        field = keys_of(section).get(str(part))
        below = section_in(field) if field is not None else None
        section = below or section
    return section
