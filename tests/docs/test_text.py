"""What docs/text.md says is read how is read so."""

import re
from pathlib import Path

import pytest

from wyoming_pocket_tts.text.normalization.pipeline import GRAMMARS, normalize

PAGE = (Path(__file__).parents[2] / "docs" / "text.md").read_text(encoding="utf-8")
LANGUAGES = {"English": "en", "German": "de"}


def examples() -> list[tuple[str, str, str]]:
    """Every row of a table that begins with "Written": language, text, and what the page says is said."""
    found = []
    for head, rows in re.findall(r"^\| Written \|(.*)\|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        languages = [LANGUAGES[name.strip()] for name in head.split("|")]
        for row in rows.splitlines():
            text, *said = (cell.strip() for cell in row.strip("|").split("|"))
            found += [(language, text.strip("`"), words) for language, words in zip(languages, said, strict=True)]
    return found


@pytest.mark.parametrize(("language", "text", "said"), examples())
def test_the_examples_are_read_as_the_page_says(language: str, text: str, said: str) -> None:
    assert normalize(text, language) == said


def test_the_page_has_examples_and_names_every_language() -> None:
    assert len(examples()) > 40
    names = {"de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese", "nl": "Dutch"}
    assert {"en", *names} == {tag for tag in GRAMMARS if "-" not in tag}
    assert all(name in PAGE for name in names.values())
