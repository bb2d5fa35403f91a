"""What the command ``voices`` says of voices of one's own: as the service would have them, and why it would not."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.doctor.checking import make_bundle
from wyoming_pocket_tts.cli.voices import VoiceListing, list_voices
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.voice_state import VoiceState, write_state

SMALL, SMALLER = "english_7m_2026-10", "english_2m_2026-10"
EMBEDDED = (Voice(name="kokoro-ray", description="Ray", languages=("en",), sample_rate_hz=16_000),)
OF_THE_BUNDLE = "0" * 64


def export(path: Path, model: str = SMALL, *, fingerprint: str | None = None) -> Path:
    """An exported voice in the sizes of a model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = configs.released_model(model).flow_lm.transformer
    layer = np.zeros((2, 3, sizes.kv_heads, sizes.head_dim), np.float32)
    write_state(VoiceState((layer,) * sizes.num_layers, model=fingerprint), path)
    return path


def listed(data_dir: Path, *models: str, settings: str = "") -> VoiceListing:
    file = data_dir / "settings.yaml"
    file.write_text(f"models: {{names: [{', '.join(models or (SMALL,))}]}}\n{settings}")
    return list_voices(load_settings(file=file, flags={"data_dir": str(data_dir)}), embedded=EMBEDDED)


def descriptions(found: VoiceListing) -> dict[str, str]:
    """Of voices that are not the models' own."""
    return {voice.name: voice.description for voice in found.voices if voice.description.startswith(voice.name)}


def test_a_voice_that_fits_no_model_is_a_problem(tmp_path: Path) -> None:
    file = export(tmp_path / "voices" / "Anna.safetensors", SMALLER)
    (problem,) = listed(tmp_path).problems
    assert problem.startswith(f"{file}: was made with another model (layers, heads, size: ")


def test_a_voice_of_other_weights_is_a_problem_once_the_model_is_here(tmp_path: Path) -> None:
    export(tmp_path / "voices" / "Anna.safetensors", fingerprint=OF_THE_BUNDLE)
    other = export(tmp_path / "voices" / "Bert.safetensors", fingerprint="1" * 64)
    assert listed(tmp_path).problems == []
    make_bundle(tmp_path, SMALL)
    found = listed(tmp_path)
    (problem,) = found.problems
    assert problem.startswith(f"{other}: was made with other weights (1111")
    installed = {voice.name: voice.installed for voice in found.voices}
    assert (installed["Anna"], installed["Bert"]) == (True, False)


def test_an_exported_voice_is_for_the_model_that_it_fits(tmp_path: Path) -> None:
    export(tmp_path / "voices" / "Anna.safetensors", SMALLER)
    export(tmp_path / "voices" / SMALL / "Bert.safetensors", SMALLER)
    found = listed(tmp_path, SMALL, SMALLER)
    assert descriptions(found)["Anna"] == f"Anna ({SMALLER})"
    (problem,) = found.problems
    assert f"{SMALL}/Bert.safetensors: was made with another model" in problem, "its folder says whose it is"


def test_styles_that_fit_are_there_without_those_that_do_not(tmp_path: Path) -> None:
    for style in ("calm", "default"):
        export(tmp_path / "voices" / "Anna" / f"{style}.safetensors")
    export(tmp_path / "voices" / "Anna" / "loud.safetensors", SMALLER)
    make_bundle(tmp_path, SMALL)
    found = listed(tmp_path)
    (problem,) = found.problems
    assert "Anna/loud.safetensors: was made with another model" in problem
    (anna,) = (voice for voice in found.voices if voice.name == "Anna")
    assert (anna.speakers, anna.installed) == (("default", "calm"), True)


def test_a_voice_of_the_settings_has_to_fit_its_model(tmp_path: Path) -> None:
    file = export(tmp_path / "anna.safetensors", SMALLER)
    settings = f"voices: {{Anna: {{from: '{file}'}}, Bert: {{from: '{file}', model: {SMALLER}}}}}"
    (problem,) = listed(tmp_path, SMALL, SMALLER, settings=settings).problems
    assert problem.startswith(f"{file}: was made with another model")


@pytest.mark.parametrize("name", ["anna", "KITCHEN", "kokoro-ray", f"{SMALL}-alba", f"own-{SMALL}-anna"])
def test_a_dropped_voice_that_is_called_like_another_one_is_a_problem(tmp_path: Path, name: str) -> None:
    export(tmp_path / "anna.safetensors")
    file = export(tmp_path / "voices" / f"{name}.safetensors")
    settings = "voices: {Anna: {from: anna.safetensors}}\nsatellites: {Kitchen: {voice: Anna}}"
    found = listed(tmp_path, settings=settings)
    assert found.problems == [f"{file}: another voice has this name already; give the file another one"]
    names = [voice.name for voice in found.voices]
    assert len(names) == len(set(names))


def test_two_dropped_voices_of_one_name_are_a_problem(tmp_path: Path) -> None:
    first = export(tmp_path / "voices" / "Anna.safetensors")
    second = export(tmp_path / "voices" / SMALL / "anna.safetensors")
    (problem,) = listed(tmp_path).problems
    assert problem in {
        f"{one}: {other} is the voice of this name; give the file another one"
        for one, other in ((first, second), (second, first))
    }


def test_what_was_exported_from_a_recording_and_what_the_settings_name_is_no_second_voice(tmp_path: Path) -> None:
    export(tmp_path / "voices" / "Anna.safetensors")
    (tmp_path / "voices" / "Anna.wav").write_bytes(b"RIFF rubbish that nobody looks at")
    export(tmp_path / "voices" / "bert.safetensors")
    found = listed(tmp_path, settings="voices: {Robert: {from: voices/bert.safetensors}}")
    assert found.problems == []
    names = {voice.name for voice in found.voices}
    assert {"Anna", "Robert"} <= names
    assert "bert" not in names


def test_a_voice_for_a_model_that_is_not_wanted_is_a_problem(tmp_path: Path) -> None:
    file = export(tmp_path / "voices" / SMALLER / "Anna.safetensors", SMALLER)
    problem = f"{file}: it is for the model {SMALLER}, which is not among models.names"
    assert listed(tmp_path).problems == [problem]
    assert listed(tmp_path, "none").problems == [problem]


def test_without_models_no_voice_of_ones_own_can_speak(tmp_path: Path) -> None:
    file = export(tmp_path / "voices" / "Anna.safetensors")
    assert listed(tmp_path, "none").problems == [f"{file}: no model can speak it: models.names is 'none'"]
