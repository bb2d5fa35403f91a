"""Statistics of requests."""

from wyoming_pocket_tts.core.events import RequestStats

ENDED = RequestStats(
    request="r",
    peer="p",
    outcome="spoken",
    voice="v",
    characters=1,
    audio_seconds=2.0,
    first_audio_seconds=0.1,
    waited_seconds=0.5,
)


def test_the_real_time_factor_needs_audio() -> None:
    assert ENDED.real_time_factor == 0.25
    silent = RequestStats(
        request="r",
        peer="p",
        outcome="cancelled",
        voice=None,
        characters=0,
        audio_seconds=0.0,
        first_audio_seconds=None,
        waited_seconds=0.5,
    )
    assert silent.real_time_factor is None
