"""How much memory a converted model takes, told from its files. Loads nothing.

Measured against it: docs/memory.md.
"""

from typing import Final

from wyoming_pocket_tts.pocket.onnx.bundle import Bundle
from wyoming_pocket_tts.pocket.onnx.manifest import FileName
from wyoming_pocket_tts.pocket.schema import ModelConfig

_DECODER_SHARE: Final = 0.9
"""Of the codec's file. Much of that is the encoder, which is not loaded; what decoding computes with is as much."""
_POSITIONS: Final = 1000
"""Keys and values of two speeches at once, and of their voices."""
_NUMBER_BYTES: Final = 4


def memory_bytes(bundle: Bundle) -> int:
    """Estimate what the model takes that speaks for one or two at a time, beside the libraries that all share."""
    weights_bytes = _file_bytes(bundle, "flow.data") + _DECODER_SHARE * _file_bytes(bundle, "codec.data")
    return int(weights_bytes) + cache_bytes(bundle.config)


def cache_bytes(config: ModelConfig) -> int:
    """The part of that for keys and values."""
    sizes = config.flow_lm.transformer
    return _POSITIONS * sizes.num_layers * 2 * sizes.kv_heads * sizes.head_dim * _NUMBER_BYTES


def _file_bytes(bundle: Bundle, name: FileName) -> int:
    record = bundle.files.get(name)
    return 0 if record is None else record.bytes
