"""Measures the sizes one after the other, tells what was found, and writes the choice down. Knows no figure."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.commands.benchmark.bustle import doubts, load_of_this_machine
from wyoming_pocket_tts.commands.benchmark.measuring import Bench, Outcome
from wyoming_pocket_tts.commands.benchmark.report import advice, as_dict, as_table, choice
from wyoming_pocket_tts.commands.benchmark.settings_file import check_writable, write_choice
from wyoming_pocket_tts.commands.benchmark.sizes import Size, language_of, sizes_of
from wyoming_pocket_tts.commands.doctor.sizes import computed_in
from wyoming_pocket_tts.commands.progress import StatusLine
from wyoming_pocket_tts.errors import SpeechError
from wyoming_pocket_tts.pocket.onnx.cpu import cpu_flags
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.settings import Settings

Tell = Callable[[str], None]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be measured.

    Attributes:
        quick: only one size, that of the settings' first model.
        write: the settings file for the choice; None to write nothing.
        threads: of the language model.
    """

    quick: bool = False
    write: Path | None = None
    threads: int


def benchmark(settings: Settings, wanted: Wanted, *, as_json: bool, quiet: bool, tell: Tell) -> list[Outcome]:
    """Measure, tell, and write; what makes the figures doubtful goes to the log before.

    Raises:
        ConfigError: the settings file cannot be changed; told before anything is measured.
        SpeechError: nothing could be measured.
    """
    precision = computed_in(Precision(settings.models.precision), cpu_flags())
    sizes = _sizes(settings, quick=wanted.quick)
    if wanted.write is not None:
        check_writable(wanted.write, sizes[0].name, precision.value)
    for doubt in doubts(settings.server.uri, load_of_this_machine()):
        _LOGGER.warning("%s", doubt)
    with StatusLine(quiet=quiet) as status:
        bench = Bench(settings.data_dir, precision, wanted.threads, status.show)
        outcomes = [bench.measure(size) for size in sizes]
    if as_json:
        tell(json.dumps(as_dict(outcomes), ensure_ascii=False, indent=2))
    else:
        tell(as_table(outcomes))
        tell("")
        tell(advice(outcomes))
    if not any(outcome.figures for outcome in outcomes):
        raise SpeechError("nothing could be measured")
    if wanted.write is not None:
        line = _write(wanted.write, outcomes)
        if not as_json:
            tell(line)
    return outcomes


def _sizes(settings: Settings, *, quick: bool) -> list[Size]:
    names = settings.models.names
    sizes = sizes_of(language_of(names))
    if not quick:
        return sizes
    of_settings = [size for size in sizes if size.name in names]
    usual = [size for size in sizes if "_" not in size.name]
    return [*of_settings, *usual, *sizes][:1]


def _write(file: Path, outcomes: list[Outcome]) -> str:
    chosen = choice(outcomes)
    if chosen is None:
        return f"{file}: nothing was written, as no model is fast enough"
    write_choice(file, chosen.name, chosen.precision.value)
    return f"{file}: models.names and models.precision are {chosen.name} and {chosen.precision} now"
