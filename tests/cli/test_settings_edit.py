"""The choice gets into settings files of all kinds, and everything else in them stays as it was."""

import re
import stat
from pathlib import Path

import pytest

from wyoming_pocket_tts.cli.settings_edit import check_writable, with_choice, write_choice
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.core.errors import ConfigError, TtsError

MODEL = "english_7m_2026-10"
EXAMPLES = sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "models:\n  names: [M]\n  precision: int4\n"),
        ("# mine\n", "# mine\nmodels:\n  names: [M]\n  precision: int4\n"),
        ("log:\n  level: debug", "log:\n  level: debug\nmodels:\n  names: [M]\n  precision: int4\n"),
        (
            "models: # which\n#  names: [x]\nlog:\n",
            "models: # which\n#  names: [x]\n  names: [M]\n  precision: int4\nlog:\n",
        ),
        ("models:", "models:\n  names: [M]\n  precision: int4\n"),
        ("models: {}\n", "models:\n  names: [M]\n  precision: int4\n"),
        (
            "models: {names: [english], voices: all}  # yes\n",
            "models: {precision: int4, names: [M], voices: all} # yes\n",
        ),
        (
            "models:\n  names: [english]   # 250 MB\n  precision: int8  # fast\n",
            "models:\n  names: [M] # 250 MB\n  precision: int4  # fast\n",
        ),
        (
            "models:\n    names:\n    - german # first\n    - english # second\n",
            "models:\n    precision: int4\n    names:\n    - german # first\n    - M # second\n",
        ),
        (
            "models:\n  names:\n    - mine.yaml\n    - german\n  voices: default\n",
            "models:\n  precision: int4\n  names:\n    - M\n    - mine.yaml\n    - german\n  voices: default\n",
        ),
        ("models:\n  names: [german]\n", "models:\n  precision: int4\n  names: [M, german]\n"),
        ("models:\n  names: none\n", "models:\n  precision: int4\n  names: [M]\n"),
        ("models:\n  names: german, english\n", "models:\n  precision: int4\n  names: [german, M]\n"),
        ("models:\n  # how\n  voices: all\n", "models:\n  # how\n  names: [M]\n  precision: int4\n  voices: all\n"),
        (
            "b: &b {voices: all}\nmodels:\n  <<: *b\n",
            "b: &b {voices: all}\nmodels:\n  names: [M]\n  precision: int4\n  <<: *b\n",
        ),
        (
            "models:\n  names: none # nothing\n  voices: all\n",
            "models:\n  precision: int4\n  names: [M] # nothing\n  voices: all\n",
        ),
        ("models: null\n", "models:\n  names: [M]\n  precision: int4\n"),
        ("log: {level: info}\n...\n", "log: {level: info}\nmodels:\n  names: [M]\n  precision: int4\n"),
        ("models: {names: ['english']}\r\n", "models: {precision: int4, names: ['M']}\r\n"),
    ],
)
def test_only_the_values_change(before: str, after: str) -> None:
    assert with_choice(before, MODEL, "int4") == re.sub(r"\bM\b", MODEL, after)


@pytest.mark.parametrize(
    "text",
    [
        "models: &m {names: [english]}\nother: *m\n",
        "names: &n [english]\nmodels: {names: *n}\n",
        "{models: {names: [english]}, models: {}}\n",
        "- a list\n",
        "models: [english]\n",
    ],
)
def test_what_cannot_be_done_so_is_not_done(text: str) -> None:
    assert with_choice(text, MODEL, "int4") is None


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_changed_and_keeps_its_comments(example: Path, tmp_path: Path) -> None:
    file = tmp_path / example.name
    file.write_bytes(example.read_bytes())
    if example.stem == "nas":  # where voices are made of those of the model that would give way
        with pytest.raises(ConfigError, match="'english-alba' is a voice of the model english"):
            write_choice(file, MODEL, "int4")
        assert file.read_bytes() == example.read_bytes()
        return
    for model in ("english_18m_2026-10", MODEL):
        write_choice(file, model, "int4")
    before, after = load_settings(file=example), load_settings(file=file)
    assert (MODEL in after.models.names, after.models.precision) == (True, "int4")
    assert after.models.voices == before.models.voices
    assert after.text == before.text
    comments = [line.partition("#")[2] for line in example.read_text().splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in file.read_text().splitlines() if "#" in line] == comments


def test_a_file_that_is_not_there_is_made_and_another_keeps_its_permissions(tmp_path: Path) -> None:
    file = tmp_path / "tts.yaml"
    write_choice(file, MODEL, "int8")
    assert load_settings(file=file).models.names == (MODEL,)
    file.chmod(0o640)
    write_choice(file, "english", "int8")
    assert load_settings(file=file).models.names == ("english",)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_line_ends_stay_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "tts.yaml"
    file.write_bytes(b"log: {level: info}\r\nmodels: {names: [english], precision: int8}\r\n")
    write_choice(file, MODEL, "int4")
    expected = f"log: {{level: info}}\r\nmodels: {{names: [{MODEL}], precision: int4}}\r\n"
    assert file.read_bytes() == expected.encode()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    file.write_text("log: {level: info}\n")
    link.symlink_to(file)
    write_choice(link, MODEL, "int8")
    assert link.is_symlink()
    assert MODEL in file.read_text()


@pytest.mark.parametrize(
    "text", ["log: {level: loud}\n", "models: &m {names: [english]}\nlog: {level: *m}\n", "a: [\n"]
)
def test_a_file_that_is_wrong_or_too_difficult_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tts.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"tts\.yaml"):
        write_choice(file, MODEL, "int8")
    assert file.read_text() == text


def test_file_that_cannot_be_changed_is_left_with_what_to_write(tmp_path: Path) -> None:
    file = tmp_path / "tts.yaml"
    text = "models: {names: [\n  english, # a comment that would be lost\n  german # another\n  ]}\n"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"under 'models': names: \[{MODEL}\] and precision: int8"):
        write_choice(file, MODEL, "int8")
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "voice", ["Anna: {from: alba, model: english}", "Anna: {from: german-juergen, model: english}"]
)
def test_a_model_that_something_else_needs_does_not_give_way(tmp_path: Path, voice: str) -> None:
    file = tmp_path / "tts.yaml"
    text = f"models: {{names: [english]}}\nvoices:\n  {voice}\n"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"the rest no longer fits:\n.*tts\.yaml, line 3: voices\.Anna\.model"):
        write_choice(file, MODEL, "int8")
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]
    write_choice(file, "english", "int4")
    assert load_settings(file=file).models.precision == "int4"


def test_a_place_that_cannot_be_written_to_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    for write in (write_choice, check_writable):
        with pytest.raises(TtsError, match=r"nowhere/tts\.yaml: cannot be written: No such file"):
            write(tmp_path / "nowhere" / "tts.yaml", MODEL, "int8")
    file = tmp_path / "tts.yaml"
    check_writable(file, MODEL, "int8")
    assert list(tmp_path.iterdir()) == []
