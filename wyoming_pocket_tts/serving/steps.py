"""A request's steps in words, for the debug log. Decides nothing and keeps nothing."""

from collections.abc import Iterator, Mapping
from typing import Final

from wyoming_pocket_tts.errors import shown
from wyoming_pocket_tts.speech import Manner, Pauses, Reading
from wyoming_pocket_tts.voices.catalogue import Choice

_MILLISECONDS: Final = 1_000


def chosen(choice: Choice, wish: Mapping[str, str | None], *, ssml: bool | None) -> str:
    """Who was found for whom, by which rule, and how it is to speak.

    Args:
        choice: what was found.
        wish: the ``name``, ``speaker`` and ``language`` that were asked for.
        ssml: whether the text is marked up, None where nobody says.
    """
    asked = ", ".join(f"{key} {shown(value)}" for key, value in wish.items() if value) or "no voice"
    marked_up = {None: "", True: " for SSML", False: " for plain text"}[ssml]
    style = f" in the style {choice.speaker!r}" if choice.speaker else ""
    return f"asked for {asked}{marked_up}: {choice.voice.name!r}{style}, {choice.why}; {in_short(choice.manner)}"


def in_short(manner: Manner) -> str:
    """What a manner asks for besides a voice's own ways."""
    return ", ".join(_wishes(manner)) or "in its own manner"


def made(audio_seconds: float, waited_seconds: float) -> str:
    """How long a piece of speech is, and how long it was waited for."""
    return f"made {audio_seconds:.2f} s of audio in {waited_seconds * _MILLISECONDS:.0f} ms"


def _wishes(manner: Manner) -> Iterator[str]:
    plain = Manner()
    if manner.speed != plain.speed:
        yield f"speed {manner.speed:g}"
    if manner.volume_db != plain.volume_db:
        yield f"volume {manner.volume_db:+g} dB"
    if manner.rate_hz is not None:
        yield f"{manner.rate_hz} Hz"
    if manner.temperature is not None:
        yield f"temperature {manner.temperature:g}"
    if manner.eos_threshold is not None:
        yield f"eos threshold {manner.eos_threshold:g}"
    yield from _silences(manner.pauses)
    yield from _words(manner.reading)


def _silences(pauses: Pauses) -> Iterator[str]:
    for place, seconds in (("before", pauses.before), ("between", pauses.between), ("after", pauses.after)):
        if seconds:
            yield f"silence {place} {seconds:g} s"


def _words(reading: Reading) -> Iterator[str]:
    if not reading.normalize:
        yield "not normalised"
    if reading.emoji != Reading().emoji:
        yield f"emoji {reading.emoji}"
    for what, pairs in (("replacements", reading.replacements), ("pronunciations", reading.pronunciations)):
        if pairs:
            yield f"{len(pairs)} {what}"
