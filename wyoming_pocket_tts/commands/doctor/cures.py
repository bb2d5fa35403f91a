"""What to do where a server that was asked gives no good answer. Knows no check."""

from wyoming_pocket_tts.errors import NoAnswer, NobodyThere, NotWyoming, Overloaded, SpeechError

LOG = "'journalctl -eu wyoming-pocket-tts', 'docker compose logs'"
"""Where a service's log is."""
START = "start it ('systemctl start wyoming-pocket-tts', 'docker compose up -d' or 'script/run')"
_PORT = "is it the right address and port? 10200 is this server's unless its settings say otherwise"


def cure_of(error: SpeechError, *, otherwise: str) -> str:
    """What to do about a server of which a client found this out."""
    match error:
        case NobodyThere():
            return (
                f"{_PORT}; if it is, {START}. From another machine: does it listen on more than 127.0.0.1, and does a"
                " firewall let the port through?"
            )
        case NotWyoming():
            return f"another program is there: {_PORT}"
        case NoAnswer():
            return f"{_PORT}; if it is, look what keeps that machine busy, and at the service's log ({LOG}); restart it"
        case Overloaded():
            return (
                "wait until others have left, or raise server.limits.connections and connections_per_address;"
                f" its log says who they are ({LOG})"
            )
        case _:
            return otherwise
