"""The command line with beeps in place of the embedded voice, as ``python -m tests.support.tone_app``.

``--engine kokoro`` chooses the embedded voice after all; of several such options the last counts.
"""

import sys

from tests.support.tone import VOICES, ToneSynthesizer
from wyoming_pocket_tts.__main__ import main
from wyoming_pocket_tts.kokoro import synthesizer as embedded


def beeps(arguments: list[str]) -> bool:
    """Take the option ``--engine`` out of the arguments; whether beeps are wanted."""
    engine = "tone"
    while "--engine" in arguments:
        index = arguments.index("--engine")
        _, engine = arguments[index : index + 2]
        del arguments[index : index + 2]
    return engine == "tone"


def use_beeps() -> None:
    """Put beeps in place of the embedded voice; before the command line is imported."""
    setattr(embedded, "load_kokoro", ToneSynthesizer)  # noqa: B010  (another type)
    setattr(embedded, "described_voices", lambda: list(VOICES))  # noqa: B010


if __name__ == "__main__":
    if beeps(sys.argv):
        use_beeps()
    from wyoming_pocket_tts.__main__ import main

    main()
