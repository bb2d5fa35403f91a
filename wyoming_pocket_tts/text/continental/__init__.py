"""Continental European languages: one sentence as written becomes one as said.

The patterns are the same for all of them; what a language says for them comes from its data file and its ``Grammar``.
"""

from importlib import import_module
from typing import Final

from wyoming_pocket_tts.text.continental.data import load_language
from wyoming_pocket_tts.text.continental.grammar import Grammar

GRAMMARS: Final = {
    "de": ("german", "German"),
    "fr": ("french", "French"),
    "es": ("spanish", "Spanish"),
    "it": ("italian", "Italian"),
    "pt": ("portuguese", "Portuguese"),
    "nl": ("dutch", "Dutch"),
}
"""Language (two letters) -> the module in this package and the class that knows its grammar."""

REGIONS: Final = {
    "pt-br": ("brazilian", "Brazilian"),
}
"""The same for tags (lower case) of regions that say it another way; their words are the language's."""


def load_grammar(tag: str) -> Grammar:
    """The grammar of one of ``GRAMMARS`` or ``REGIONS`` with its words."""
    language = tag.partition("-")[0]
    module, name = REGIONS[tag] if tag in REGIONS else GRAMMARS[language]
    found: type[Grammar] = getattr(import_module(f"{__name__}.{module}"), name)
    return found(load_language(language))
