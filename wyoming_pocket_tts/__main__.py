"""`python -m wyoming_pocket_tts`, Ctrl+C without a traceback."""

import sys

EXIT_INTERRUPTED = 130
"""What shells say of a program that ended by Ctrl+C."""


def main() -> None:
    """Run the command line; Ctrl+C ends it without a traceback, also while it is being imported."""
    try:
        from wyoming_pocket_tts.cli.main import main as run  # noqa: PLC0415  (it takes a moment)

        run()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
