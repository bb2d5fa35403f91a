"""`python -m wyoming_pocket_tts`, Ctrl+C without a traceback."""

import sys

EXIT_INTERRUPTED = 130
"""Exit status of programs that end by Ctrl+C."""


def main() -> None:
    """Run the command line; Ctrl+C ends it without a traceback, also during imports."""
    try:
        from wyoming_pocket_tts.cli.main import main as run  # noqa: PLC0415  (Ctrl+C during the import is caught, too)

        run()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
