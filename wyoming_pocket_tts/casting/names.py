"""The names that satellites and the default may give: configured voices, ready-made and embedded ones, styles."""

import re
from collections.abc import Collection, Iterable, Sequence

from wyoming_pocket_tts.casting.models import Models
from wyoming_pocket_tts.casting.nearest import did_you_mean
from wyoming_pocket_tts.casting.problems import Problems
from wyoming_pocket_tts.voices.names import same, style_name
from wyoming_pocket_tts.voices.parts import ConfiguredVoice

_LISTING = " ('wyoming-pocket-tts voices' lists those that there are)"
_STYLE = re.compile(r"(?P<voice>.+) \((?P<style>[^()]+)\)")


class Names:
    """Everybody who is known before anything is loaded."""

    def __init__(
        self,
        voices: Sequence[ConfiguredVoice],
        satellites: Iterable[str],
        *,
        models: Models,
        embedded: Collection[str],
        dropped: Collection[str] = (),
    ) -> None:
        self._dropped = tuple(dropped)
        self._voices = tuple(voices)
        self._satellites = tuple(satellites)
        self._models = models
        self._embedded = tuple(embedded)

    def taken_by(self, name: str) -> str:
        """Whose name this is, of those that nobody gave in the settings; empty if it is free."""
        if any(same(name, embedded) for embedded in self._embedded):
            return "an embedded voice"
        if any(same(name, ready_made) for ready_made in self._models.all_names()):
            return "a ready-made voice"
        for voice in self._voices:
            if any(same(name, style_name(voice.name, style)) for style in voice.styles):
                return f"a style of voices.{voice.name}"
        return ""

    def voice(self, name: str, problems: Problems) -> str:
        """The listed voice that a satellite means; a name that nobody has is noted and comes back as it is."""
        found = self._found(name)
        if found is None:
            self._explain_unknown(name, problems.at("voice"))
        return found or name

    def default(self, name: str, problems: Problems) -> str:
        """The same for the default voice, for which a wrong name is no more than a warning."""
        found = self._found(name)
        if found is not None:
            return found
        if any(same(name, satellite) for satellite in self._satellites):
            problems.at("default").error(f"'{name}' is a satellite; name its voice")
        else:
            problems.at("default").warn(
                self._models.of_another(name)
                or f"there is no voice '{name}'{self._meant(name) or _LISTING}; the first installed one speaks instead"
            )
        return name

    def _found(self, name: str) -> str | None:
        for known in (*(voice.name for voice in self._voices), *self._styles(), *self._embedded, *self._dropped):
            if same(name, known):
                return known
        return self._models.full_name(name)

    def _styles(self) -> list[str]:
        return [style_name(voice.name, style) for voice in self._voices for style in voice.styles]

    def _known(self) -> list[str]:
        names = [voice.name for voice in self._voices]
        return [*names, *self._styles(), *self._embedded, *self._dropped, *self._models.all_names()]

    def _meant(self, name: str) -> str:
        """A question whether somebody else was meant."""
        short = [voice for voices in self._models.ready_made.values() for voice in voices]
        return did_you_mean(name, self._known()) or did_you_mean(name, short)

    def _explain_unknown(self, name: str, problems: Problems) -> None:
        match = _STYLE.fullmatch(name)
        of_style = next((voice for voice in self._voices if match and same(voice.name, match["voice"])), None)
        if match and of_style is not None:
            self._explain_style(match["style"], of_style, problems)
        elif self._models.may_come(name):
            problems.warn(f"there is no voice '{name}' yet; until it comes, another one speaks")
        elif any(same(name, satellite) for satellite in self._satellites):
            problems.error(f"'{name}' is a satellite; name its voice")
        elif elsewhere := self._models.of_another(name):
            problems.missing(elsewhere)
        else:
            few = dict.fromkeys(
                [
                    *(voice.name for voice in self._voices),
                    *self._dropped,
                    *self._models.all_names()[:1],
                    "...",
                    *self._embedded,
                ]
            )
            # No error that keeps the service from starting: it may be a dropped voice that somebody took away.
            problems.missing(
                f"there is no voice '{name}'{self._meant(name)}; allowed are those of 'voices', those "
                f"that lie in the data directory's folder 'voices', and those that the service lists: {', '.join(few)}"
            )

    @staticmethod
    def _explain_style(style: str, voice: ConfiguredVoice, problems: Problems) -> None:
        path = voice.source.path if voice.source is not None else None
        if path is not None and not path.is_file():
            problems.missing(f"the voice '{voice.name}' has no style '{style}': no such recording in {path}")
        else:
            problems.error(f"the voice '{voice.name}' has no styles; they come of a folder of recordings")
