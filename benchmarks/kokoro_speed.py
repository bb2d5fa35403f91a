"""How fast the embedded voice is on one thread, and where the time goes.

pip install -e . && python benchmarks/kokoro_speed.py
"""

import statistics
import time

from wyoming_pocket_tts.core.types import SynthesisRequest
from wyoming_pocket_tts.kokoro.synthesizer import load_kokoro

TEXTS = (
    "It is nine o'clock.",
    "The kitchen light is on and the front door has been locked.",
    "Tomorrow will be sunny, with a high of twenty three degrees and a low of eleven, so leave the umbrella at home.",
)


def main() -> None:
    start = time.perf_counter()
    synthesizer = load_kokoro()
    print(f"load and warm up: {time.perf_counter() - start:.2f} s")
    for voice in synthesizer.voices():
        for text in TEXTS:
            firsts, speeds = [], []
            for _ in range(10):
                start = time.perf_counter()
                blocks = synthesizer.synthesize(SynthesisRequest(text=text, voice=voice))
                samples = len(next(blocks))
                firsts.append(time.perf_counter() - start)
                samples += sum(map(len, blocks))
                speeds.append(samples / voice.sample_rate_hz / (time.perf_counter() - start))
            print(
                f"{voice.name:14} {len(text.split()):3} words: first block {statistics.median(firsts) * 1000:5.1f} ms, "
                f"{statistics.median(speeds):5.1f} x real time"
            )


if __name__ == "__main__":
    main()
