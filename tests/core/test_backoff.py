"""Delays between attempts, and suggestions for names with typing errors."""

from wyoming_pocket_tts.core.errors import suggest
from wyoming_pocket_tts.core.system import Backoff


def test_delays_double_up_to_the_longest_and_start_over_after_a_reset() -> None:
    backoff = Backoff(30.0, 100.0)
    assert [backoff.delay() for _ in range(4)] == [30.0, 60.0, 100.0, 100.0]
    backoff.reset()
    assert backoff.delay() == 30.0


def test_similar_names_are_suggested_whatever_their_case() -> None:
    assert suggest("ALBBA", ["alba", "jean"]) == " (did you mean 'alba'?)"
    assert (
        suggest("englis", ["english", "english_2m", "german"], most=2) == " (did you mean 'english' or 'english_2m'?)"
    )
    assert suggest("zzz", ["alba"]) == ""
