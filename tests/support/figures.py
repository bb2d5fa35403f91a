"""Figures of the package's structure, and the bars that they have to keep. Standard library only.

Nothing here names a module that may move; what a rule looks for is said in its docstring. `script/figures` prints the
table, `tests/test_structure.py` asserts every bar.
"""

import argparse
import ast
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tokenize
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

from tests.support import sentence_path
from tests.support.sentence_path import SentencePath

REPOSITORY = Path(__file__).parents[2]
NAME = "wyoming_pocket_tts"
PACKAGE = REPOSITORY / NAME

NOT_ENTRIES = {"__pycache__", "py.typed"}
FLOORS: dict[str, int] = {
    "__init__": 7,
    "__main__": 7,
    "cli": 6,
    "home_assistant": 6,
    "server": 5,
    "web": 5,
    "finetune": 5,
    "engine": 4,
    "voices": 4,
    "cluster": 4,
    "pocket": 3,
    "kokoro": 3,
    "audio": 2,
    "text": 2,
    "config": 2,
    "inference": 2,
    "core": 1,
}
"""Entry of the package -> its floor. An import goes to a lower floor, or stays within its entry."""

SHORT_LINES = 60
WORDS = re.compile(r"\b(who|whom|whose|somebody|nobody|everybody)\b", re.IGNORECASE)
ALLOWED_PHRASES: tuple[str, ...] = ()
"""Phrases in which one of `WORDS` means a person; matched in any case."""
HELP_COLUMNS = 80
STARTS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number and its bar."""

    name: str
    value: float
    bar: float
    offenders: tuple[str, ...] = ()
    """What to look at when the bar is missed."""
    is_asserted: bool = True
    """False for what depends on the machine: printed alone."""
    least: float = 0

    @property
    def is_ok(self) -> bool:
        return self.least <= self.value <= self.bar

    @property
    def verdict(self) -> str:
        if self.is_ok:
            return "ok"
        return "over" if self.value > self.bar else "under"

    def complaint(self, most: int = 20) -> str:
        """The figure, its bar, and the first offenders."""
        least = f"at least {self.least:g}, " if self.least else ""
        lines = [f"{self.name}: {self.value:g}, {least}at most {self.bar:g}", *self.offenders[:most]]
        if len(self.offenders) > most:
            lines.append(f"... and {len(self.offenders) - most} more")
        return "\n  ".join(lines)


# The source


class Source(NamedTuple):
    """A Python file of the package."""

    name: str
    """Relative to the package."""
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, name: str, text: str) -> Self:
        return cls(name, text, ast.parse(text))

    @property
    def entry(self) -> str:
        return Path(self.name).parts[0].removesuffix(".py")

    @property
    def module(self) -> tuple[str, ...]:
        parts = Path(self.name).with_suffix("").parts
        return (NAME, *(parts[:-1] if parts[-1] == "__init__" else parts))


@cache
def sources() -> tuple[Source, ...]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return tuple(Source.of(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


def size_figures() -> list[Figure]:
    """Files, short files and lines."""
    lines = {source.name: source.text.count("\n") for source in sources()}
    short = sorted(
        (count, name) for name, count in lines.items() if count < SHORT_LINES and not name.endswith("__init__.py")
    )
    longest = sorted(lines.items(), key=lambda item: -item[1])
    return [
        Figure("Python files", len(lines), 150),
        Figure(f"files under {SHORT_LINES} lines", len(short), 12, tuple(f"{name}: {count}" for count, name in short)),
        Figure("lines of Python", sum(lines.values()), 27_000, tuple(f"{name}: {count}" for name, count in longest)),
    ]


# Imports


class Import(NamedTuple):
    """An import of one file of the package by another, at any depth, for types alone included."""

    source: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


@cache
def imports() -> tuple[Import, ...]:
    """`import`, `from ... import` and `import_module("...")`; not the package's `__version__`, which is a constant."""
    files = {source.module: source.name for source in sources()}
    found = []
    for source in sources():
        for line, module in _imported(source):
            if files[module] != source.name:
                found.append(Import(source.name, line, files[module]))
    return tuple(dict.fromkeys(found))


def _imported(source: Source) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and module of every import from the package."""
    package = source.module if source.name.endswith("__init__.py") else source.module[:-1]
    files = {each.module for each in sources()}
    for node in ast.walk(source.tree):
        names: Iterable[tuple[str, ...]] = ()
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            names = [(*base, alias.name) if (*base, alias.name) in files else base for alias in node.names]
            if base == (NAME,) and all(alias.name == "__version__" for alias in node.names):
                continue
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                names = [tuple(argument.value.split("."))]
        for name in names:
            if name[0] == NAME and name in files:
                yield getattr(node, "lineno", 0), name


def entries() -> list[str]:
    return sorted(path.name for path in PACKAGE.iterdir() if path.name not in NOT_ENTRIES)


def layout_figures() -> list[Figure]:
    """Entries at the root, floors, imports against the table of floors, cycles between files."""
    entry_of = {source.name: source.entry for source in sources()}
    between: dict[str, set[str]] = {entry: set() for entry in entry_of.values()}
    files: dict[str, set[str]] = {name: set() for name in entry_of}
    upward = []
    for each in imports():
        files[each.source].add(each.target)
        above, below = entry_of[each.source], entry_of[each.target]
        if above == below:
            continue
        between[above].add(below)
        if FLOORS.get(above, 0) <= FLOORS.get(below, 0):
            upward.append(f"{each} (floor {FLOORS.get(above, '?')} to {FLOORS.get(below, '?')})")
    unknown = sorted(set(entry_of.values()) - FLOORS.keys())
    chain = _longest_chain(between)
    cycles = [" <-> ".join(sorted(cycle)) for cycle in _cycles(files)]
    return [
        Figure("entries at the package's root", len(entries()), 16, tuple(entries())),
        Figure("import floors", len(chain), 7, (" > ".join(chain),)),
        Figure("entries without a floor", len(unknown), 0, tuple(unknown)),
        Figure("imports that do not go down a floor", len(upward), 0, tuple(upward)),
        Figure("import cycles between files", len(cycles), 0, tuple(cycles)),
    ]


def _components(graph: Mapping[str, Collection[str]]) -> list[frozenset[str]]:
    """Strongly connected components, each after those that it reaches (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[frozenset[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            start = stack.index(node)
            found.append(frozenset(stack[start:]))
            del stack[start:]

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def _cycles(graph: Mapping[str, Collection[str]]) -> list[frozenset[str]]:
    return [component for component in _components(graph) if len(component) > 1]


def _longest_chain(graph: Mapping[str, Collection[str]]) -> list[str]:
    """From top to bottom; entries that import one another count as one floor."""
    chains: dict[str, list[str]] = {}
    for component in _components(graph):
        below = [chains[target] for node in component for target in graph[node] if target not in component]
        chain = [" = ".join(sorted(component)), *max(below, key=len, default=[])]
        chains.update(dict.fromkeys(component, chain))
    return max(chains.values(), key=len)


# Names


def name_figures() -> list[Figure]:
    """Public classes whose name is defined in more than one module."""
    places: dict[str, list[str]] = defaultdict(list)
    for source in sources():
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(source.name)
    repeated = sorted((name, files) for name, files in places.items() if len(set(files)) > 1)
    lines = tuple(f"{name}: {', '.join(files)}" for name, files in repeated)
    return [Figure("public class names in more than one module", len(repeated), 6, lines)]


# Words


def word_figures() -> list[Figure]:
    """Words for persons: in docstrings and comments, in string literals, in documentation and settings files."""
    comments, strings = [], []
    for source in sources():
        docstrings = docstring_places(source.tree)
        comments += _words(source.name, ((text, line) for line, text in _docstrings(source.tree)))
        comments += _words(source.name, ((text, line) for line, text in comments_of(source.text)))
        strings += _words(source.name, ((text, line) for line, text in _strings(source.tree, docstrings)))
    pages = [
        *(found for path in _pages() for found in _words(_relative(path), [(path.read_text(encoding="utf-8"), 1)])),
        *(found for path in _settings_files() for found in _words(_relative(path), _yaml_comments(path))),
    ]
    return [
        Figure("words for persons in docstrings and comments", len(comments), 0, tuple(comments)),
        Figure("words for persons in the package's messages", len(strings), 0, tuple(strings)),
        Figure("words for persons in the documentation", len(pages), 0, tuple(pages)),
    ]


def _words(place: str, texts: Iterable[tuple[str, int]]) -> list[str]:
    """Each place, with the line in which the word stands."""
    found = []
    for text, first in texts:
        allowed = text
        for phrase in ALLOWED_PHRASES:
            allowed = re.sub(re.escape(phrase), lambda match: " " * len(match[0]), allowed, flags=re.IGNORECASE)
        for match in WORDS.finditer(allowed):
            line = text.count("\n", 0, match.start())
            found.append(f"{place}:{first + line}: {text.splitlines()[line].strip()}")
    return found


def _string(node: ast.AST) -> ast.Constant | None:
    """The text of a string that stands alone: a docstring of a module, class, function or attribute."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value
    return None


def docstring_places(tree: ast.Module) -> set[tuple[int, int]]:
    return {(text.lineno, text.col_offset) for node in ast.walk(tree) if (text := _string(node)) is not None}


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if (text := _string(node)) is not None:
            yield text.lineno, str(text.value)


def comments_of(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _strings(tree: ast.Module, docstrings: set[tuple[int, int]]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if (node.lineno, node.col_offset) not in docstrings:
            yield node.lineno, node.value


def _pages() -> list[Path]:
    places = (REPOSITORY.glob("*.md"), REPOSITORY.glob("docs/**/*.md"), REPOSITORY.glob("home-assistant/**/*.md"))
    texts = (REPOSITORY.glob("home-assistant/**/translations/en.yaml"),)
    return sorted({path for place in (*places, *texts) for path in place})


def _settings_files() -> list[Path]:
    return sorted((*REPOSITORY.glob("config/*.yaml"), *REPOSITORY.glob("home-assistant/**/config.yaml")))


def _yaml_comments(path: Path) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        comment = re.search(r"(?:^|\s)#.*", line)
        if comment:
            yield comment[0], number


def _relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


# One of each

Rule: TypeAlias = Callable[[Source], Iterator[int]]
"""Yields the lines of a file in which a mechanism is found."""


def single_figures() -> list[Figure]:
    """What should be in one module of the package alone."""
    rules = (
        ("modules that rank streams (scheduler)", _ranks_streams),
        ("modules that detect hangs", _detects_hangs),
        ("modules that rename what they wrote aside", _renames),
        ("modules that convert bfloat16", _converts_bfloat16),
        ("modules that read Wyoming events", _reads_events),
    )
    figures = []
    for name, rule in rules:
        found = {source.name: lines for source in sources() if (lines := sorted(set(rule(source))))}
        offenders = (f"{file}: line {', '.join(map(str, lines))}" for file, lines in found.items())
        figures.append(Figure(name, len(found), 1, tuple(offenders)))
    return figures


RANK = re.compile(r"_?(due|need|deadline|urgency|rank|priority)(_seconds|_at)?")
NEWCOMER = re.compile(r"_?NEW(COMER|_STREAM|_SEQUENCE)\w*")
HUNG = re.compile(r"_?(is_)?(stuck|hung|hangs?|hanging|hang_timeout|unresponsive)(_seconds|_after|_timeout)?")
HANG_FUNCTION = re.compile(rf"{HUNG.pattern}|_?busy_seconds|_?is_left_behind")
EVENT_LENGTHS = {"data_length", "payload_length"}
EVENT_READERS = {"async_read_event", "read_event"}


def _ranks_streams(source: Source) -> Iterator[int]:
    """A function named `due`, `need`, `deadline` ... that returns a number, or a constant for newcomers."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef) and RANK.fullmatch(node.name):
            if node.returns is not None and "float" in ast.unparse(node.returns):
                yield node.lineno
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and NEWCOMER.fullmatch(target.id) for target in targets):
                yield node.lineno


def _detects_hangs(source: Source) -> Iterator[int]:
    """A comparison by size with a name like `stuck_seconds`, or a function named like `is_hung`, `busy_seconds`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare) and any(
            isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in node.ops
        ):
            if any(HUNG.fullmatch(name) for name in _identifiers(node)):
                yield node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and HANG_FUNCTION.fullmatch(node.name):
            yield node.lineno


def _renames(source: Source) -> Iterator[int]:
    """A call of `os.replace`, `os.rename`, `shutil.move`, `x.rename(y)` or `x.replace(y)` with one argument."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        is_function = ast.unparse(node.func) in {"os.replace", "os.rename", "shutil.move"}
        is_method = node.func.attr in {"replace", "rename"} and len(node.args) == 1 and not node.keywords
        if is_function or is_method:
            yield node.lineno


def _converts_bfloat16(source: Source) -> Iterator[int]:
    """A shift by 16 in a function that names `uint32`, a function named for bfloat16, or the package ml_dtypes."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if re.search(r"bfloat16|bf16", node.name, re.IGNORECASE):
                yield node.lineno
            if "uint32" in _identifiers(node):
                shifts = (each for each in ast.walk(node) if isinstance(each, ast.BinOp))
                yield from (each.lineno for each in shifts if _is_shift_by_16(each))
        elif isinstance(node, ast.Import | ast.ImportFrom) and "ml_dtypes" in ast.unparse(node):
            yield node.lineno


def _is_shift_by_16(node: ast.BinOp) -> bool:
    shifts = isinstance(node.op, ast.LShift | ast.RShift)
    return shifts and isinstance(node.right, ast.Constant) and node.right.value == 16


def _reads_events(source: Source) -> Iterator[int]:
    """The literals `data_length` and `payload_length`, or the reading functions and clients of the wyoming package."""
    for node in ast.walk(source.tree):
        is_length = isinstance(node, ast.Constant) and node.value in EVENT_LENGTHS
        is_client = isinstance(node, ast.ImportFrom) and node.module == "wyoming.client"
        is_call = isinstance(node, ast.Call) and bool(EVENT_READERS & set(_identifiers(node.func)))
        if is_length or is_client or is_call:
            yield getattr(node, "lineno", 0)


def _identifiers(node: ast.AST) -> set[str]:
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return names | {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}


# The path of a sentence


def path_figures(paths: Mapping[str, SentencePath]) -> list[Figure]:
    """The bars count for Pocket TTS; the embedded voice, whose path is shorter, has to keep them too."""
    figures = []
    for engine, path in paths.items():
        title = f"a sentence by {'the embedded voice' if engine == 'embedded' else 'Pocket TTS'}"
        pairs = tuple(f"{pair}: {count}" for pair, count in path.pairs.items())
        figures += [
            Figure(f"{title}: files entered", len(path.files), 35, path.files),
            Figure(f"{title}: moves between files", path.moves, 160, pairs),
            Figure(f"{title}: threads", len(path.threads), 3, path.threads),
            Figure(f"{title}: voice resolved by name", path.resolved, 1, path.named, least=1),
        ]
    return figures


def measured_paths() -> dict[str, SentencePath]:
    with tempfile.TemporaryDirectory(prefix="figures-") as directory:
        return sentence_path.measure(Path(directory))


# The command line


def help_figures() -> list[Figure]:
    """Lines of the command line's help that were cut to fit 80 columns."""
    lines = _run("--help", COLUMNS=str(HELP_COLUMNS), TERMINAL_WIDTH=str(HELP_COLUMNS)).splitlines()
    cut = tuple(line for line in lines if re.search(r"[^\]\s](\.\.\.|…)[\s│|]*$", line))
    return [Figure(f"summaries cut in --help at {HELP_COLUMNS} columns", len(cut), 0, cut)]


def start_figures() -> list[Figure]:
    """Depends on the machine: not asserted by tests."""
    times = []
    for _ in range(STARTS):
        began = time.perf_counter()
        _run("--version")
        times.append(time.perf_counter() - began)
    median = round(statistics.median(times), 3)
    return [Figure("seconds for --version", median, 0.25, is_asserted=False)]


def _run(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", NAME, *arguments]
    variables = {**os.environ, **environment}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, cwd=REPOSITORY, env=variables
    )
    return done.stdout


def static_figures() -> list[Figure]:
    """What is read from the source."""
    return [*layout_figures(), *size_figures(), *name_figures(), *word_figures(), *single_figures()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/figures", description="Measures the structure of the package.")
    parser.add_argument("--json", action="store_true", help="print JSON, with what misses each bar")
    parser.add_argument("--quick", action="store_true", help="read the source only: no server, no command")
    parser.add_argument("--offenders", type=int, default=0, metavar="N", help="name the first N of what misses a bar")
    options = parser.parse_args()
    figures = static_figures()
    if not options.quick:
        figures += [*help_figures(), *start_figures(), *path_figures(measured_paths())]
    sys.stdout.write(_as_json(figures) if options.json else _as_table(figures, options.offenders))
    raise SystemExit(not all(figure.is_ok for figure in figures))


def _as_json(figures: list[Figure]) -> str:
    rows = [
        {"figure": each.name, "measured": each.value, "bar": each.bar, "ok": each.is_ok, "offenders": each.offenders}
        for each in figures
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def _as_table(figures: list[Figure], offenders: int) -> str:
    width = max(len(each.name) for each in figures)
    lines = [f"{'figure':{width}}  {'measured':>9}  {'bar':>7}"]
    for each in figures:
        lines.append(f"{each.name:{width}}  {each.value:9g}  {each.bar:7g}  {each.verdict}")
        if not each.is_ok:
            lines += [f"    {line}" for line in each.offenders[:offenders]]
    return "\n".join(lines) + "\n"
