"""What is advised to whom."""

from wyoming_pocket_tts.cli.benchmark import BenchmarkResult, advice, as_dict, as_table, choice
from wyoming_pocket_tts.cli.measure import Measurement
from wyoming_pocket_tts.cli.model_choice import computed_in, language_of, sizes_of
from wyoming_pocket_tts.pocket.onnx.bundle import Precision


def outcome(name: str, speed: float, precision: Precision = Precision.INT8) -> BenchmarkResult:
    figures = Measurement(
        load_seconds=1.0, first_audio_seconds=0.05, took_seconds=10.0, speech_seconds=10 * speed, peak_bytes=200_000_000
    )
    return BenchmarkResult(name, precision, figures)


REFUSED = BenchmarkResult("german_24l", Precision.INT8, problem="needs about 557 MB of memory, and 300 MB are free")


def test_the_largest_that_is_fast_enough_is_chosen() -> None:
    outcomes = [REFUSED, outcome("english", 1.49), outcome("english_18m", 1.5), outcome("english_7m", 9.0)]
    chosen = choice(outcomes)
    assert chosen is not None
    assert chosen.name == "english_18m"
    assert "serve --model english_18m --precision int8" in advice(outcomes)
    assert as_dict(outcomes)["choice"] == {"model": "english_18m", "precision": "int8"}


def test_a_machine_that_carries_none_is_told_what_is_left() -> None:
    outcomes = [outcome("english", 0.4), outcome("english_2m", 1.2)]
    assert choice(outcomes) is None
    assert "english_2m, the fastest, has 1.2 x, and 1.5 x is needed" in advice(outcomes)
    assert "--model none" in advice(outcomes)
    assert "int4" in advice(outcomes)
    assert "int4" not in advice([outcome("english", 0.4, Precision.INT4)])
    assert "Nothing could be measured" in advice([REFUSED])


def test_the_table_says_for_each_size_what_it_means() -> None:
    table = as_table([REFUSED, outcome("english", 0.9), outcome("english_7m", 1.2), outcome("english_2m", 4.0)])
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["MODEL", "PRECISION", "FIRST", "AUDIO", "SPEED", "MEMORY", "WEIGHTS"]
    assert table.splitlines()[1].endswith("300 MB are free")
    assert rows[2] == ["english", "int8", "50", "ms", "0.9", "x", "200", "MB", "random", "too", "slow"]
    assert "nothing to spare" in table.splitlines()[3]
    assert rows[4][-1] == "comfortable"


def test_eight_bits_are_not_measured_where_the_processor_cannot_multiply_them() -> None:
    raspberry_pi_4, raspberry_pi_5 = frozenset({"asimd", "crc32"}), frozenset({"asimd", "asimddp"})
    assert computed_in(Precision.INT8, raspberry_pi_4) is Precision.FP32
    assert computed_in(Precision.INT4, raspberry_pi_4) is Precision.INT4
    assert computed_in(Precision.INT8, raspberry_pi_5) is Precision.INT8
    assert computed_in(Precision.INT8, frozenset()) is Precision.INT8


def test_each_language_has_its_sizes_largest_first() -> None:
    assert [size.name for size in sizes_of("english")] == [
        "english_2026-09_24l",
        "english",
        "english_18m_2026-10",
        "english_7m_2026-10",
        "english_2m_2026-10",
    ]
    assert [size.name for size in sizes_of("german")] == ["german_24l", "german"]


def test_the_language_is_that_of_the_first_released_model() -> None:
    assert language_of(("mine.yaml", "german_24l", "english")) == "german"
    assert language_of(("none",)) == "english"
