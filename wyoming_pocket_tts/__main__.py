"""Runs the command line: ``python -m wyoming_pocket_tts``."""

from wyoming_pocket_tts.cli import main

if __name__ == "__main__":
    main()
