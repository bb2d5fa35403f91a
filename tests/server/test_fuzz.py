"""A share of ``benchmarks/fuzz.py``: mutated conversations break no rule, and the rules would notice."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.server.mutation import CONVERSATIONS, mutant
from tests.server.random_conversation import converse_at_random
from wyoming_pocket_tts.server.response import Response

SHARE = 3_000


async def converse_all(seeds: range) -> Counter[str]:
    sent = Counter[str]()
    for seed in seeds:
        try:
            sent += await converse_at_random(mutant(seed), seed=seed)
        except Exception as error:
            raise AssertionError(f"the mutant of seed {seed}") from error
    return sent


async def test_mutated_conversations_break_no_rule() -> None:
    sent = await converse_all(range(SHARE))
    # They go deep: most are no noise that the reader refuses.
    assert sent["synthesize-stopped"] > SHARE / 5
    assert sent["audio-stop"] > SHARE / 2
    for code in ("protocol-error", "voice-error", "model-error", "overloaded"):
        assert sent[code], code


@pytest.mark.parametrize("number", range(len(CONVERSATIONS)))
async def test_what_clients_really_say_is_answered(number: int) -> None:
    stream = b"".join(frame.encoded(ascii_only=False) for frame in CONVERSATIONS[number])
    for seed in range(5):
        await converse_at_random(stream, seed=seed)


def test_a_mutant_follows_from_its_seed() -> None:
    assert [mutant(seed) for seed in range(50)] == [mutant(seed) for seed in range(50)]
    assert len({mutant(seed) for seed in range(500)}) > 400


@pytest.mark.parametrize("sent", ["audio-stop", "synthesize-stopped", "error"])
def test_a_missing_event_is_noticed(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules can fail."""
    due = Response.due

    def forgetful(self: Response) -> list[Any]:
        return [event for event in due(self) if event.type != sent]

    monkeypatch.setattr(Response, "due", forgetful)
    with pytest.raises(AssertionError):
        asyncio.run(converse_all(range(300)))
