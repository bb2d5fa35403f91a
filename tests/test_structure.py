"""The structure of the package keeps its bars: layout, sizes, names, words, and the path of a sentence."""

from collections.abc import Mapping

import pytest

from tests.support import figures
from tests.support.figures import Figure
from tests.support.sentence_path import SentencePath

REACHED = {
    "lines of Python": 30_840,
    "a sentence by Pocket TTS: moves between files": 230,  # 140 to 161, by how far the model is ahead
}
"""Bars that are still missed (``script/figures`` prints them as such), and what holds until then."""


def check(measured: list[Figure]) -> None:
    missed = [
        figure.complaint()
        for figure in measured
        if figure.is_asserted
        and not figure.is_ok
        and not (figure.name in REACHED and figure.value <= REACHED[figure.name])
    ]
    assert not missed, "\n".join(missed)


@pytest.fixture(scope="module")
def paths() -> Mapping[str, SentencePath]:
    return figures.measured_paths()


def test_imports_go_down_the_floors() -> None:
    check(figures.layout_figures())


def test_files_are_few_and_not_short() -> None:
    check(figures.size_figures())


def test_class_names_occur_once() -> None:
    check(figures.name_figures())


def test_things_are_not_called_persons() -> None:
    check(figures.word_figures())


def test_mechanisms_have_one_module_each() -> None:
    check(figures.single_figures())


def test_no_summary_of_the_help_is_cut() -> None:
    check(figures.help_figures())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["pocket", "embedded"])
def test_path_of_a_sentence_is_short(paths: Mapping[str, SentencePath], engine: str) -> None:
    check(figures.path_figures({engine: paths[engine]}))


# What the rules themselves find


@pytest.mark.parametrize(
    "code",
    [
        f"from {figures.NAME} import __main__",
        f"import {figures.NAME}.__main__",
        "from .. import __main__",
        "from ..__main__ import main",
        f"def load():\n    from {figures.NAME}.__main__ import main",
        f"if TYPE_CHECKING:\n    from {figures.NAME}.__main__ import main",
        f"import_module('{figures.NAME}.__main__')",
    ],
)
def test_imports_are_found_in_every_form(code: str) -> None:
    source = figures.Source.of("folder/planted.py", code)
    assert [".".join(module) for _, module in figures._imported(source)] == [f"{figures.NAME}.__main__"]


def test_version_of_the_package_is_no_import() -> None:
    source = figures.Source.of("folder/planted.py", f"from {figures.NAME} import __version__")
    assert not list(figures._imported(source))


@pytest.mark.parametrize(
    ("graph", "cycles", "chain"),
    [
        ({"a": ["b"], "b": ["c"], "c": []}, [], ["a", "b", "c"]),
        ({"a": ["b", "c"], "b": ["a"], "c": []}, [{"a", "b"}], ["a = b", "c"]),
    ],
)
def test_cycles_and_longest_chain(graph: Mapping[str, list[str]], cycles: list[set[str]], chain: list[str]) -> None:
    assert figures._cycles(graph) == cycles
    assert figures._longest_chain(graph) == chain


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (figures._ranks_streams, "class A:\n    def deadline(self) -> float: ..."),
        (figures._ranks_streams, "NEWCOMERS_START_SECONDS = 1.0"),
        (figures._detects_hangs, "if now - began >= self._hung_seconds: ..."),
        (figures._detects_hangs, "def busy_seconds(self) -> float: ..."),
        (figures._renames, "import os\nos.replace(a, b)"),
        (figures._renames, "aside.replace(path)"),
        (figures._converts_bfloat16, "def f(a):\n    return (a.astype(np.uint32) << 16).view(np.float32)"),
        (figures._converts_bfloat16, "def to_bf16(a): ..."),
        (figures._reads_events, "length = header.get('data_length', 0)"),
        (figures._reads_events, "event = await client.read_event()"),
    ],
)
def test_rule_finds_a_planted_case(rule: figures.Rule, code: str) -> None:
    assert list(rule(figures.Source.of("planted.py", code)))


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (figures._ranks_streams, "def due(self) -> list[Event]: ..."),
        (figures._detects_hangs, "wait(hung_seconds=3)"),
        (figures._renames, "name.replace('a', 'b')"),
        (figures._renames, "dataclasses.replace(voice, name='x')"),
        (figures._converts_bfloat16, "PIPE_BYTES = 1 << 16"),
        (figures._reads_events, "'Largest data_length of an event.'"),
    ],
)
def test_rule_leaves_other_code_alone(rule: figures.Rule, code: str) -> None:
    assert not list(rule(figures.Source.of("planted.py", code)))


def test_words_are_found_in_docstrings_comments_and_messages() -> None:
    source = figures.Source.of("planted.py", '"""Who."""\n\nA = 1\n"""Of nobody."""\nB = "whose"  # for somebody\n')
    docstrings = figures.docstring_places(source.tree)
    assert [text for _, text in figures._docstrings(source.tree)] == ["Who.", "Of nobody."]
    assert [text for _, text in figures._strings(source.tree, docstrings)] == ["whose"]
    assert [text for _, text in figures.comments_of(source.text)] == ["# for somebody"]
    assert figures._words("planted.py", [("One\ntells nobody\n", 7)]) == ["planted.py:8: tells nobody"]
