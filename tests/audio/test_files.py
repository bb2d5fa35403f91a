"""WAV files as other programs read them."""

import io
import os
import threading
import wave
from pathlib import Path

import pytest

from wyoming_pocket_tts.audio.files import AudioFormat, WavWriter, open_wav
from wyoming_pocket_tts.core.errors import TtsError

MONO = AudioFormat(rate_hz=8_000)


def test_a_file_has_the_real_length_and_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    path.write_bytes(b"old")
    with open_wav(str(path)) as wav:
        wav.write(b"\1\2" * 800, MONO)
        wav.write(b"\3\4" * 800, MONO)
        assert path.read_bytes() == b"old"
        wav.finish(MONO)
    assert wav.seconds == 0.2
    with wave.open(str(path)) as audio:
        assert (audio.getframerate(), audio.getnframes()) == (8_000, 1_600)
        assert audio.readframes(1_600) == b"\1\2" * 800 + b"\3\4" * 800
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    path.write_bytes(b"old")

    def break_off() -> None:
        with open_wav(str(path)) as wav:
            wav.write(b"\1\2", MONO)
            raise TtsError("the model failed")

    with pytest.raises(TtsError, match="the model failed"):
        break_off()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_gets_a_header_that_players_take(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with open_wav(str(pipe)) as wav:
        wav.write(b"\1\2" * 800, MONO)
        wav.finish(MONO)
    reader.join()
    assert pipe.is_fifo()
    with wave.open(io.BytesIO(read[0])) as audio:
        assert audio.readframes(10_000) == b"\1\2" * 800


def test_one_file_holds_one_format() -> None:
    wav = WavWriter(io.BytesIO())
    wav.write(b"\1\2", MONO)
    with pytest.raises(TtsError, match="one WAV file cannot hold both"):
        wav.write(b"\1\2", AudioFormat(rate_hz=16_000))
