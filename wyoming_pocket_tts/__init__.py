"""Streaming text to speech for Home Assistant over the Wyoming protocol, and Pocket TTS for Python programs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wyoming_pocket_tts.pocket.model import TTSModel, export_model_state
    from wyoming_pocket_tts.pocket.voice_state import trim_model_state

__version__ = "0.1.0"

__all__ = ["TTSModel", "__version__", "export_model_state", "trim_model_state"]

_MODULES = {"TTSModel": "model", "export_model_state": "model", "trim_model_state": "voice_state"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever is public)
    """Import the public names on first use: the command line has to start quickly."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.pocket.{_MODULES[name]}"), name)
