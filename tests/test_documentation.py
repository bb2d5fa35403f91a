"""The documentation says what the program does: tables are compared with the code they describe."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.settings import leaves

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def settings_table() -> str:
    lines = ["| YAML key | Environment variable | Option | Default | What it does |", "|---|---|---|---|---|"]
    for leaf in leaves():
        option = f"`{leaf.flag}`" if leaf.flag else ""
        default = f"`{leaf.default}`" if leaf.default else ""
        lines.append(f"| `{leaf.yaml_key}` | `{leaf.variable}` | {option} | {default} | {leaf.description} |")
    return "\n".join(lines)


def serve_help() -> str:
    command = [sys.executable, "-m", "wyoming_pocket_tts", "serve", "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def test_the_readme_lists_every_setting() -> None:
    found = re.search(r"<!-- settings:[^\n]*-->\n(.*?)\n?<!-- /settings -->", README, re.DOTALL)
    assert found is not None
    if found[1] != settings_table():
        pytest.fail(f"README.md should hold this table:\n\n{settings_table()}\n", pytrace=False)


def test_the_options_of_serve_are_those_of_the_table() -> None:
    offered = set(re.findall(r"--[a-z-]+", serve_help()))
    described = {option for leaf in leaves() for option in re.findall(r"--[a-z-]+", leaf.flag)}
    assert offered - described == {"--config", "--version", "--help"}
    assert described <= offered


def test_the_readme_shows_every_command() -> None:
    command = [sys.executable, "-m", "wyoming_pocket_tts", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    commands = re.findall(r"^  (\w+)  ", shown.partition("Commands:")[2], re.MULTILINE)
    assert len(commands) >= 4
    for name in commands:
        assert f"`wyoming-pocket-tts {name}" in README


def test_the_voice_of_the_example_file_exists() -> None:
    example = (ROOT / "config" / "wyoming-pocket-tts.yaml").read_text(encoding="utf-8")
    described = json.loads((ROOT / "wyoming_pocket_tts/kokoro/voice/voice.json").read_text(encoding="utf-8"))
    found = re.search(r"^voice:\n#  default: (\S+)", example, re.MULTILINE)
    assert found is not None
    assert found[1] in [speaker["name"] for speaker in described["speakers"]]


def test_links_between_the_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_changelog_knows_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}]" in changelog or "## [Unreleased]" in changelog
