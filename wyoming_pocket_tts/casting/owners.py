"""Whose a name is before anything is loaded: nobody else can have it. Reads no file."""

from collections.abc import Collection

from wyoming_pocket_tts.casting.models import Models
from wyoming_pocket_tts.casting.names import Names
from wyoming_pocket_tts.casting.problems import Problems
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.settings import Settings
from wyoming_pocket_tts.voices.names import ready_made_name, same


def owner_of(name: str, settings: Settings, *, embedded: Collection[str]) -> str:
    """Who is called so, or will be; empty if the name is free. Case does not count.

    Args:
        name: what a voice is to be called.
        settings: whose voices, satellites and models.
        embedded: names of the embedded voices.
    """
    for section, given in (("voices", settings.voices), ("satellites", settings.satellites)):
        for each in given:
            if same(each, name):
                return f"{section}.{each} in the settings"
    taken = Names((), (), models=Models.of(settings.models, Problems()), embedded=embedded).taken_by(name)
    everywhere = (ready_made_name(model, voice) for model in configs.model_names() for voice in configs.voice_names())
    return taken or ("a ready-made voice" if any(same(each, name) for each in everywhere) else "")
