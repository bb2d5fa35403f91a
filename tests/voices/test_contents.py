"""Files of voices, looked at by themselves."""

from pathlib import Path

import pytest

from wyoming_pocket_tts.audio.files import AudioFormat, open_wav
from wyoming_pocket_tts.pocket.voice_store import LARGEST_BYTES, complaint_about


@pytest.mark.parametrize("name", ["film.wav", "film.safetensors"])
def test_what_is_too_large_is_not_even_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    with file.open("wb") as film:
        film.truncate(LARGEST_BYTES + 1)
    assert complaint_about(file) == f"{file}: is larger than 200 MB; 10 to 30 s of speech make a voice"


@pytest.mark.parametrize("name", ["rubbish.wav", "rubbish.safetensors", "gone.wav", "gone.safetensors"])
def test_what_is_no_voice_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if not name.startswith("gone"):
        file.write_bytes(b"rubbish" * 100)
    assert str(file) in complaint_about(file)


def test_a_recording_may_be_one(tmp_path: Path) -> None:
    file = tmp_path / "anna.wav"
    with open_wav(str(file)) as wav:
        wav.write(bytes(range(256)) * 200, AudioFormat(rate_hz=16_000))
        wav.finish(AudioFormat(rate_hz=16_000))
    assert complaint_about(file) == ""
