"""Streaming text to speech for Home Assistant over the Wyoming protocol, and Pocket TTS for Python programs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wyoming_pocket_tts.pocket.tts_model import TTSModel, export_model_state
    from wyoming_pocket_tts.voices.state import trim_model_state

__version__ = "0.1.0"

__all__ = ["TTSModel", "__version__", "export_model_state", "trim_model_state"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever is public)
    """Import the model's side of the package when somebody asks for it: the command line has to start quickly."""
    if name in {"TTSModel", "export_model_state"}:
        from wyoming_pocket_tts.pocket import tts_model  # noqa: PLC0415

        return getattr(tts_model, name)
    if name == "trim_model_state":
        from wyoming_pocket_tts.voices.state import trim_model_state  # noqa: PLC0415

        return trim_model_state
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
