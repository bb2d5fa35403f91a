"""From settings to the cast: every name found or refused, with its place."""

from pathlib import Path

import pytest

from tests.pocket.random_models import changed
from wyoming_pocket_tts.config.diagnostics import Severity
from wyoming_pocket_tts.config.loader import SourceMap, load_settings
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.types import OptionOverrides, TextOptions, Voice
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.random_model import write_config
from wyoming_pocket_tts.voices.resolver import ResolvedVoices, resolve_voices

EMBEDDED = ("kokoro-ray", "kokoro-selma")
MODELS = "models: {names: [english, german]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings as the settings of these tests name them."""
    (tmp_path / "styles").mkdir()
    for name in ("anna.wav", "styles/sad.wav", "styles/happy.wav"):
        (tmp_path / name).touch()
    return tmp_path


def casting(folder: Path, text: str) -> ResolvedVoices:
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return resolve_voices(load_settings(file=file), embedded=EMBEDDED)


def problems(folder: Path, text: str) -> list[tuple[str, Severity, str]]:
    return [
        (".".join(map(str, problem.key)), problem.severity, problem.text) for problem in casting(folder, text).problems
    ]


@pytest.mark.parametrize(
    ("entry", "engine_voices", "language"),
    [
        ("{from: alba}", ("english-alba",), "en"),
        ("{from: ALBA}", ("english-alba",), "en"),
        ("{from: alba, model: German}", ("german-alba",), "de"),
        ("{from: german-alba}", ("german-alba",), "de"),
        ("{from: german-alba, model: German}", ("german-alba",), "de"),
        ("{from: kokoro-ray}", ("kokoro-ray",), "en"),
        ("{from: anna.wav}", ("own-english-anna",), "en"),
        ("{from: ./anna.wav, model: german}", ("own-german-anna",), "de"),
        ("{from: styles/}", ("own-english-anna",), "en"),
        ("{from: alba, sampler_steps: 4}", ("own-english-anna", "english-alba"), "en"),
    ],
)
def test_who_lends_a_voice(folder: Path, entry: str, engine_voices: tuple[str, ...], language: str) -> None:
    found = casting(folder, f"{MODELS}voices: {{Anna: {entry}}}")
    assert found.problems == ()
    assert (found.voices[0].engine_voices, found.voices[0].language) == (engine_voices, language)


def test_files_become_sources_with_the_styles_that_are_there(folder: Path) -> None:
    found = casting(folder, "voices: {Bob: {from: styles/, sampler_steps: 3}, Cy: {from: alba}}")
    (source,) = found.cast(list).sources()
    assert (source.voice_name, source.name, source.model, source.steps) == ("own-english-bob", "Bob", "english", 3)
    assert source.path == folder / "styles"
    assert found.voices[0].styles == ("happy", "sad")
    assert found.voices[1].source is None


def test_everything_that_can_be_said_about_speaking_arrives(folder: Path) -> None:
    manner = (
        "speed: 1.5, volume: -3, sample_rate: 16000, temperature: 0.1, eos_threshold: -3, sentence_silence: 0.1, "
        "leading_silence: 0.2, trailing_silence: 0.3, text: {normalize: false, emoji: speak, "
        "replacements: {a: b}, pronunciations: {c: d}}"
    )
    expected = OptionOverrides(
        speed=1.5,
        volume_db=-3,
        rate_hz=16_000,
        temperature=0.1,
        eos_threshold=-3,
        pause_between=0.1,
        pause_before=0.2,
        pause_after=0.3,
        normalize=False,
        emoji="speak",
        replacements=(("a", "b"),),
        pronunciations=(("c", "d"),),
    )
    text = f"voices: {{Anna: {{from: alba, {manner}}}}}\nsatellites: {{Kitchen: {{voice: Anna, {manner}}}}}\n"
    found = casting(folder, text + "text: {emoji: speak, replacements: {e: f}}")
    assert found.voices[0].overrides == expected
    assert found.satellites[0].overrides == expected
    assert found.reading == TextOptions(emoji="speak", replacements=(("e", "f"),))


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("anna", "Anna"),
        ("Anna (happy)", "Anna (happy)"),
        ("ANNA (Sad)", "Anna (sad)"),
        ("alba", "english-alba"),
        ("german-alba", "german-alba"),
        ("Kokoro-Selma", "kokoro-selma"),
    ],
)
def test_whom_a_satellite_or_the_default_means(folder: Path, named: str, meant: str) -> None:
    text = f"voices: {{Anna: {{from: styles/}}}}\nsatellites: {{Kitchen: {{voice: {named}}}}}\n"
    found = casting(folder, f"{MODELS}{text}voice: {{default: {named}}}")
    assert found.problems == ()
    assert (found.satellites[0].voice, found.default) == (meant, meant)


def test_a_configured_voice_counts_more_than_the_ready_made_one_of_its_name(folder: Path) -> None:
    found = casting(folder, "voices: {alba: {from: jean}}\nsatellites: {Kitchen: {voice: alba}}")
    assert (found.problems, found.satellites[0].voice) == ((), "alba")


ERROR, MISSING, WARNING = Severity.ERROR, Severity.MISSING, Severity.WARNING


@pytest.mark.parametrize(
    ("text", "key", "severity", "expected"),
    [
        ("models: {names: [englsh]}", "models.names", ERROR, "englsh"),
        ("models: {languages: {mine: sv}}", "models.languages", ERROR, "there is no model 'mine'"),
        ("voices: {A: {from: albba}}", "voices.A.from", ERROR, "there is no voice 'albba' (did you mean 'alba'?)"),
        ("voices: {A: {from: albba}}", "voices.A.from", ERROR, "allowed are alba, anna, azelma"),
        ("voices: {A: {from: styles}}", "voices.A.from", ERROR, "or a file or folder: ./styles"),
        ("voices: {A: {from: alba, model: french}}", "voices.A.model", ERROR, "not among models.names (english, ger"),
        ("voices: {A: {from: english-alba, model: german}}", "voices.A.model", ERROR, "is a voice of english, not of"),
        ("voices: {english-alba: {from: jean}}", "voices.english-alba", ERROR, "is the name of a ready-made voice"),
        ("satellites: {Kokoro-Ray: {}}", "satellites.Kokoro-Ray", ERROR, "is the name of an embedded voice"),
        ("voices: {A: {from: ./no.wav}}", "voices.A.from", MISSING, "no.wav: there is no such file or folder"),
        ("voices: {A: {from: ./empty/}}", "voices.A.from", MISSING, "empty: holds no recording"),
        ("voices: {A: {from: english-bob}}", "voices.A.from", WARNING, "there is no voice 'english-bob' yet"),
        ("voices: {A: {from: kokoro-ray, sampler_steps: 2}}", "voices.A.sampler_steps", WARNING, "changes nothing"),
        ("satellites: {K: {voice: Ana}}\nvoices: {Anna: {from: alba}}", "satellites.K.voice", MISSING, "mean 'Anna'?"),
        ("satellites: {K: {voice: L}, L: {}}", "satellites.K.voice", ERROR, "'L' is a satellite; name its voice"),
        ("satellites: {K: {voice: english-bob}}", "satellites.K.voice", WARNING, "until it comes, another one is used"),
        ("satellites: {K: {voice: alba (sad)}}", "satellites.K.voice", MISSING, "there is no voice 'alba (sad)'"),
        ("voice: {default: K}\nsatellites: {K: {}}", "voice.default", ERROR, "'K' is a satellite; name its voice"),
        ("voice: {default: Zoe}", "voice.default", WARNING, "there is no voice 'Zoe'"),
        ("voices: {A b: {from: anna.wav}, a-b: {from: anna.wav}}", "voices.a-b", ERROR, "differ in signs alone"),
        ("voices: {A: {from: styles/}, A (sad): {from: alba}}", "voices.A (sad)", ERROR, "is the name of a style of"),
        ("voices: {A: {from: styles/}}\nsatellites: {K: {voice: A (shy)}}", "satellites.K.voice", MISSING, "'shy'"),
        ("voices: {A: {from: alba}}\nsatellites: {K: {voice: A (shy)}}", "satellites.K.voice", ERROR, "has no styles"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_found_where_it_stands(
    folder: Path, text: str, key: str, severity: Severity, expected: str
) -> None:
    (folder / "empty").mkdir()
    (found,) = problems(folder, text if "models:" in text else MODELS + text)
    assert found[:2] == (key, severity)
    assert expected in found[2]


def patient_model(folder: Path) -> Path:
    """The config of a model of one's own whose sampler takes sixteen steps."""
    config = changed(configs.released_model("english"), {"flow_lm": {"flow": {"type": "flow_matching"}}})
    weights, tokenizer = folder / "weights.safetensors", folder / "tokenizer.model"
    return write_config(folder / "patient.yaml", config, weights=weights, tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("{from: alba, model: english_2m_2026-10, sampler_steps: 4}", "the model english_2m_2026-10 draws in one go"),
        (
            "{from: anna.wav, model: english_2m_2026-10, sampler_steps: 1}",
            "the model english_2m_2026-10 draws in one go",
        ),
        ("{from: alba, sampler_steps: 1}", "the model english takes 1 anyway"),
        ("{from: anna.wav, sampler_steps: 1}", "the model english takes 1 anyway"),
        ("{from: styles/, model: patient, sampler_steps: 16}", "the model patient takes 16 anyway"),
        (
            "{from: alba, model: patient, sampler_steps: 3}",
            "patient is a model of your own, which encodes that voice itself",
        ),
    ],
)
def test_steps_that_change_nothing_are_told_and_cost_no_conversion(folder: Path, entry: str, why: str) -> None:
    models = f"models: {{names: [english, english_2m_2026-10, '{patient_model(folder)}']}}\n"
    found = casting(folder, f"{models}voices: {{Anna: {entry}}}")
    (problem,) = found.problems
    assert (problem.key, problem.severity) == (("voices", "Anna", "sampler_steps"), WARNING)
    assert problem.text.startswith(f"changes nothing: {why}")
    assert [source.steps for source in found.cast(list).sources()] in ([], [None])
    assert found.voices[0].engine_voices in {
        ("english-alba",), ("english_2m_2026-10-alba",), ("patient-alba",),
        ("own-english-anna",), ("own-english_2m_2026-10-anna",), ("own-patient-anna",),
    }  # fmt: skip


def test_steps_that_change_something_are_kept_for_recordings_of_any_model(folder: Path) -> None:
    found = casting(
        folder, f"models: {{names: ['{patient_model(folder)}']}}\nvoices: {{A: {{from: anna.wav, sampler_steps: 3}}}}"
    )
    assert found.problems == ()
    assert [source.steps for source in found.cast(list).sources()] == [3]


@pytest.mark.parametrize(
    ("entry", "severity"),
    [("alba", WARNING), ("german-alba", WARNING), ("anna.wav", WARNING), ("albba", ERROR), ("kokoro-ray", None)],
)
def test_without_models_for_once_a_file_for_models_still_loads(
    folder: Path, entry: str, severity: Severity | None
) -> None:
    text = f"models: {{names: none}}\nvoices: {{A: {{from: {entry}}}}}\nsatellites: {{K: {{voice: A}}}}"
    assert [problem[1] for problem in problems(folder, text)] == ([severity] if severity else [])


def test_a_missing_recording_does_not_keep_the_service_from_starting(folder: Path) -> None:
    found = casting(folder, "# settings\nvoices:\n  Anna:\n    from: lost.wav\n")
    where = SourceMap(folder / "config.yaml")
    line = f"{folder}/config.yaml, line 4: voices.Anna.from: {folder}/lost.wav: there is no such file or folder"
    assert found.admit(where) == [line]
    with pytest.raises(ConfigError) as caught:
        found.admit(where, strictly=True)
    assert str(caught.value) == line
    assert not found.cast(lambda: ()).voices()[0].installed


def test_errors_are_refused_all_at_once(folder: Path) -> None:
    found = casting(folder, "voices:\n  A: {from: x}\n  B: {from: y}\n")
    with pytest.raises(ConfigError, match=r"line 2: voices\.A\.from.*\n.*line 3: voices\.B\.from"):
        found.admit(SourceMap(folder / "config.yaml"))


def test_the_voices_that_somebody_speaks_with_are_known_before_anything_is_downloaded(folder: Path) -> None:
    text = "voices: {A: {from: jean}, B: {from: anna.wav}}\nsatellites: {K: {voice: A}, L: {voice: vera}}\n"
    found = casting(folder, f"{MODELS}{text}voice: {{default: german-alba}}")
    assert found.needed() == {"english-jean", "own-english-b", "english-vera", "german-alba"}


def test_a_cast_speaks_with_the_engine_it_gets(folder: Path) -> None:
    engine = [Voice(name="kokoro-ray", description="Ray", languages=("en",), sample_rate_hz=16_000)]
    text = "voices: {A: {from: kokoro-ray}}\nsatellites: {K: {voice: A, speed: 2, address: 10.0.0.0/8}}\n"
    cast = casting(folder, f"{text}text: {{emoji: speak}}").cast(lambda: engine)
    choice = cast.resolve(address="10.0.0.1")
    assert choice.voice.engine_voice is not None
    assert (choice.voice.name, choice.voice.engine_voice.name) == ("K", "kokoro-ray")
    assert (choice.options.speed, choice.options.text.emoji) == (2, "speak")
