"""What a model takes in memory, told from its files, and found in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pocket.onnx.bundles import write_small_model
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision, memory_bytes
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from wyoming_pocket_tts.inference.session import OnnxSession
from wyoming_pocket_tts.kokoro.synthesizer import VOICE_FOLDER
from wyoming_pocket_tts.core.system import configure_malloc
from wyoming_pocket_tts.pocket.loading import open_for_onnx
from wyoming_pocket_tts.pocket.onnx.bundle import open_bundle
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.voice_state import VoiceState

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

configure_malloc()
libraries = OnnxSession(VOICE_FOLDER / "letters.onnx")
bundle = open_bundle(Path(sys.argv[1]))
before = resident()
model = TTSModel(open_for_onnx(bundle))
sizes = bundle.config.flow_lm.transformer
layers = np.random.default_rng(2).standard_normal((sizes.num_layers, 2, 125, sizes.kv_heads, sizes.head_dim))
voice = VoiceState(layers=tuple(layers.astype(np.float32)))
model.generate_audio(voice, "The door is open. The window is closed, and it rains. " * 4)
print(resident() - before)
"""


def bundle_of(directory: Path, *, layers: int, precision: Precision = Precision.INT8) -> ModelBundle:
    return ensure_converted(None, write_small_model(directory, layers=layers), data_dir=directory, precision=precision)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="another system tells it otherwise")
@pytest.mark.perf
def test_the_estimate_grows_with_the_model_and_is_enough_for_one_speech(tmp_path: Path) -> None:
    small = bundle_of(tmp_path / "small", layers=2)
    larger = bundle_of(tmp_path / "larger", layers=4)
    exact = bundle_of(tmp_path / "exact", layers=4, precision=Precision.FP32)
    assert memory_bytes(small) < memory_bytes(larger) < memory_bytes(exact)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(larger.directory)], capture_output=True, check=True)
    found = int(done.stdout)
    assert found < memory_bytes(larger) < 4 * found
