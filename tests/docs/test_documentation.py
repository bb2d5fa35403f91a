"""The documentation says what the program does: tables are compared with the code they describe."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.cli.models import released_models
from wyoming_pocket_tts.config.diagnostics import Severity
from wyoming_pocket_tts.config.fields import ANY_NAME, SettingInfo
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.config.schema import leaves
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.voices.resolver import resolve_voices

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "wyoming_pocket_tts"
PAGES = {path: path.read_text(encoding="utf-8") for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))}
POCKET_COMMANDS = ("generate", "export-voice", "models", "download", "convert", "compare")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
SATELLITES = (ROOT / "docs" / "satellites.md").read_text(encoding="utf-8")
POCKET = (ROOT / "docs" / "pocket-tts.md").read_text(encoding="utf-8")


def settings_table() -> str:
    lines = ["| YAML key | Environment variable | Option | Default | What it does |", "|---|---|---|---|---|"]
    for leaf in leaves():
        if ANY_NAME in leaf.key:  # in docs/satellites.md
            continue
        variable = f"`{leaf.variable}`" if leaf.variable else ""
        option = f"`{leaf.flag}`" if leaf.flag else ""
        default = f"`{leaf.default}`" if leaf.default else ""
        lines.append(f"| `{leaf.yaml_key}` | {variable} | {option} | {default} | {leaf.description} |")
    return "\n".join(lines)


def keys_table(section: str) -> str:
    """What stands below a name, without what voices and satellites share."""
    shared = {key for _, key in keys_of("voices")} & {key for _, key in keys_of("satellites")} - {"description"}
    lines = ["| Key | What it does |", "|---|---|"]
    lines += [
        f"| `{key}` | {leaf.description} |"
        for leaf, key in keys_of(section or "voices")
        if (key in shared) is not bool(section)
    ]
    return "\n".join(lines)


def keys_of(section: str) -> list[tuple[SettingInfo, str]]:
    return [(leaf, ".".join(leaf.key[2:])) for leaf in leaves() if leaf.key[:2] == (section, ANY_NAME)]


def models_table() -> str:
    lines = ["| Name | Language | Parameters | Layers | Type | Voice |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{model.name}` | {model.language} | {model.parameters / 1e6:.0f} million | {model.layers} | `{model.type}` "
        f"| {model.default_voice} |"
        for model in released_models()
    ]
    return "\n".join(lines)


def voices_list() -> str:
    return ", ".join(f"`{name}`" for name in configs.voice_names()) + "."


def help_of(command: str) -> str:
    arguments = [sys.executable, "-m", "wyoming_pocket_tts", command, "--help"]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=30).stdout


def options_of(command: str) -> list[str]:
    return re.findall(r"--[a-z-]+", help_of(command))


def check_section(document: str, name: str, expected: str) -> None:
    """What stands between the marks has to be what the code says."""
    found = re.search(rf"<!-- {name}:[^\n]*-->\n(.*?)\n?<!-- /{name} -->", document, re.DOTALL)
    assert found is not None
    if found[1] != expected:
        pytest.fail(f"The section '{name}' should hold this:\n\n{expected}\n", pytrace=False)


def test_the_page_on_settings_lists_every_setting() -> None:
    check_section(SETTINGS, "settings", settings_table())


def test_the_page_on_satellites_lists_every_key() -> None:
    check_section(SATELLITES, "voices", keys_table("voices"))
    check_section(SATELLITES, "satellites", keys_table("satellites"))
    check_section(SATELLITES, "manner", keys_table(""))


@pytest.mark.parametrize(
    "page", ["README.md", "docs/satellites.md", "docs/troubleshooting.md", "docs/text.md", "docs/arm.md"]
)
def test_the_settings_on_a_page_can_be_used(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGES[ROOT / page], re.DOTALL)
    assert blocks
    for block in blocks:
        file = tmp_path / "settings.yaml"
        file.write_text(block, encoding="utf-8")
        problems = resolve_voices(load_settings(file=file), embedded=("kokoro-ray", "kokoro-selma")).problems
        assert all(problem.severity is Severity.MISSING for problem in problems)


def test_the_models_and_voices_of_the_documentation_are_those_of_the_registry() -> None:
    check_section(POCKET, "models", models_table())
    check_section(POCKET, "voices", voices_list())


def test_the_documentation_names_every_option_of_the_commands_for_pocket_tts() -> None:
    for command in POCKET_COMMANDS:
        for option in set(options_of(command)) - {"--help"}:
            assert f"`{option}" in POCKET, f"{option} of {command}"


def test_no_option_of_the_documentation_is_made_up() -> None:
    offered = {option for command in POCKET_COMMANDS for option in options_of(command)}
    described = set(re.findall(r"`(--[a-z-]+)", POCKET))
    assert described <= offered


def test_the_options_of_serve_are_those_of_the_table() -> None:
    offered = set(options_of("serve"))
    described = {option for leaf in leaves() for option in re.findall(r"--[a-z-]+", leaf.flag)}
    assert offered - described == {"--config", "--version", "--help"}
    assert described <= offered


def commands() -> list[str]:
    command = [sys.executable, "-m", "wyoming_pocket_tts", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    return re.findall(r"^  ([\w-]+)  ", shown.partition("Commands:")[2], re.MULTILINE)


def test_the_page_on_commands_shows_every_command() -> None:
    assert len(commands()) >= 4
    for name in commands():
        assert f"`wyoming-pocket-tts {name}" in COMMANDS


def test_no_page_makes_up_a_command() -> None:
    known = set(commands())
    for page, text in PAGES.items():
        used = re.findall(r"(?:^\$? ?|`|/|sudo )wyoming-pocket-tts ([a-z][a-z-]+)", text, re.MULTILINE)
        assert set(used) <= known, page.name


def test_every_page_is_reached_from_the_readme() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name}" in PAGES[ROOT / "README.md"], page.name


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    notes = sorted(page.name for page in folder.glob("[0-9]*.md"))
    assert notes == re.findall(r"^\| \[\d+\]\(([^)]*)\)", PAGES[folder / "README.md"], re.MULTILINE)
    for number, name in enumerate(notes, start=1):
        assert name.startswith(f"{number:04}-")
        text = PAGES[folder / name]
        assert text.startswith(f"# {number}. ")
        assert re.search(r"^Date: \d{4}-\d\d-\d\d\. Status: ", text, re.MULTILINE)


@pytest.mark.skipif((PACKAGE / "cli.py").exists(), reason="the page describes the layout without cli.py")
def test_the_page_on_architecture_lists_every_module() -> None:
    tree = PAGES[ROOT / "docs" / "architecture.md"].partition("wyoming_pocket_tts/\n")[2].partition("```")[0]
    listed, folders = set(), dict[int, str]()
    for indent, name in re.findall(r"^( +)([\w/.]+)", tree, re.MULTILINE):
        path = folders.get(len(indent) - 2, "") + name
        if name.endswith("/"):
            folders[len(indent)] = path
        else:
            listed.add(path)
    modules = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py")}
    assert listed == {path for path in modules if not path.endswith("/__init__.py")}


def test_the_voice_of_the_example_file_exists() -> None:
    example = (ROOT / "config" / "wyoming-pocket-tts.yaml").read_text(encoding="utf-8")
    described = json.loads((ROOT / "wyoming_pocket_tts/kokoro/voice/voice.json").read_text(encoding="utf-8"))
    found = re.search(r"^voice:\n#  default: (\S+)", example, re.MULTILINE)
    assert found is not None
    assert found[1] in [speaker["name"] for speaker in described["speakers"]]


def test_links_between_the_documents_lead_somewhere() -> None:
    for page, text in PAGES.items():
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
            linked = (page.parent / target).resolve() if target else page
            assert linked.exists(), f"{page.name} links to {target}"
            if anchor:
                assert anchor in anchors(linked), f"{page.name} links to {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The places that a page's headings make."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_changelog_knows_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}]" in changelog or "## [Unreleased]" in changelog
