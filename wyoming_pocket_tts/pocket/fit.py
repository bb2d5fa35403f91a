"""Whether a voice was made with a model. Knows neither files nor engines."""

from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.voices.state import VoiceState, check_fits


def check_voice(voice: VoiceState, config: ModelConfig, *, fingerprint: str | None, label: str) -> None:
    """Refuse a voice that was made with another model.

    Args:
        voice: the voice.
        config: what the model is.
        fingerprint: of the model's weights; None if unknown, then sizes alone are compared.
        label: how to call the voice in the message.

    Raises:
        VoiceError: it was.
    """
    sizes = config.flow_lm.transformer
    check_fits(
        voice,
        layers=sizes.num_layers,
        kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        fingerprint=fingerprint,
        label=label,
    )
