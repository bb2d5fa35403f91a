"""Every limit of the Wyoming server in one place. Knows nothing about how they are enforced."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, and all clients together, may ask of the server."""

    connections: int = 64
    """Connections open at once; more are told ``overloaded`` and closed."""
    connections_per_address: int = 24
    """The same for one client address. Generous, since a whole house usually comes from Home Assistant's one address,
    but fewer than the workers speak at once: an address whose clients all stop reading must leave places to others."""
    queued_requests: int = 8
    """Requests that may wait on one connection behind the one that speaks."""
    text_characters: int = 20_000
    """Longest text of one request or one stream: some twenty minutes of speech."""
    pause_seconds: float = 60.0
    """Silence that the text of one answer asks for, all its pauses together. What settings ask for comes on top."""
    active_streams: int = 32
    """Sentences of all clients together that are open at once; those of more clients wait."""
    waiting_streams: int = 32
    """Answers that may wait until one of these ends; more are told ``overloaded``, or an embedded voice speaks."""
    queue_seconds: float = 30.0
    """How long they may wait. Nobody listens for longer to nothing."""
    header_bytes: int = 64 * 1024
    """Longest header line of an event, its newline included."""
    data_bytes: int = 256 * 1024
    """Largest ``data_length``: the longest text, even when every character is escaped."""
    payload_bytes: int = 64 * 1024
    """Largest ``payload_length``. No event of a text-to-speech client needs a payload; it is read and dropped."""
    nesting_depth: int = 16
    """Deepest nesting of lists and objects in an event's JSON."""
    event_seconds: float = 10.0
    """Time for an event to arrive whole, from its first byte on."""
    idle_seconds: float = 300.0
    """Time without an event while nothing is spoken, after which a connection is closed. A language model that calls
    tools may pause for minutes in the midst of a stream."""
    write_seconds: float = 30.0
    """Time for a client that stopped reading to make room for one more event, before it is dropped."""
    slowest_bytes_per_second: int = 8_000
    """How fast a client must read on the whole: half of what it takes to play telephone sound while it comes."""
    write_buffer_bytes: int = 64 * 1024
    """Bytes that may wait in this process for a slow reader (the kernel keeps its own buffer besides)."""
    linger_seconds: float = 1.0
    """Time given to a client to read the last events, before its connection is closed on it."""
    chunk_seconds: float = 0.1
    """Longest audio in one ``audio-chunk``."""
