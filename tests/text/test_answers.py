"""A whole answer as it streams in: what the cutting of sentences leaves has to be what the reading needs."""

import pytest

from wyoming_pocket_tts.core.types import TextOptions
from wyoming_pocket_tts.text.normalization.pipeline import normalize_text
from wyoming_pocket_tts.text.sentences import SentenceSplitter

GERMAN = (
    "Am 3. Oktober 2026 sind es **21,5 °C**, d. h. warm. Der 2. Termin ist um 14:30 Uhr in der Hauptstr. 5, "
    "ca. 3 km von hier. Du brauchst:\n1. 500 g Mehl\n2. z. B. 2 Eier\nDas kostet 1,99 € usw. Der Rest ist da. 🎉"
)
GERMAN_SAID = [
    "Am dritten Oktober zweitausendsechsundzwanzig sind es einundzwanzig Komma fünf Grad Celsius, das heißt warm.",
    "Der zweite Termin ist um vierzehn Uhr dreißig in der Hauptstraße fünf, circa drei Kilometer von hier.",
    "Du brauchst:",
    "erstens, fünfhundert Gramm Mehl",
    "zweitens, zum Beispiel zwei Eier",
    "Das kostet einen Euro neunundneunzig und so weiter.",
    "Der Rest ist da.",
    "konfettibombe",
]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 1000])
def test_a_german_answer_is_said_the_same_in_any_deltas(size: int) -> None:
    stream = SentenceSplitter("de", cut_first_early=False)
    deltas = [GERMAN[at : at + size] for at in range(0, len(GERMAN), size)]
    sentences = [*(sentence for delta in deltas for sentence in stream.feed(delta)), *stream.finish()]
    assert [normalize_text(sentence, "de", TextOptions(emoji="speak")).lower() for sentence in sentences] == [
        said.lower() for said in GERMAN_SAID
    ]
