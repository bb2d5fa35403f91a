"""docs/troubleshooting.md quotes the program: what it quotes is what the program says."""

import ast
import re
from pathlib import Path

from tests.docs.test_documentation import options_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
COMMANDS = ("serve", "say", "check", "voices", "doctor", "benchmark", "download", "install-service")

QUOTED = (
    "first audio after ",
    "announced as ",
    "cannot announce the server: ",
    "this machine has no address that others can reach",
    "another server in this network is called ",
    "no server answers at ",
    ": is the service running? ",
    " does not answer within ",
    " closes the connection instead of answering 'describe': is it a wyoming server?",
    " is there, and has no room for another client now: ",
    "nothing listens at ",
    ": it does not run on this machine",
    "if it ran before, its log says why it ended (",
    "home assistant has been told about ",
    "another program has it, perhaps a second copy of this one: ss -ltnp 'sport = :",
    "' names it; stop that one, or take another port",
    "a voice that cannot be used: ",
    "; convert it to wav, flac, ogg or mp3",
    " s of silence before",
    "the processor lacks avx2: models are computed in fp32 instead of ",
    "in a virtual machine, choose the cpu type 'host'",
    "does not exist",
    " speaks instead",
    "the client names it",
    "the text is longer than ",
    " cannot speak yet",
    "trying again in ",
    ": is not on this machine, and the hub does not answer: ",
    "the hub answers with an error",
    ": free some space, or choose another place with --data-dir",
    "cannot be kept in ",
    " name another place",
    "converted models are kept in ",
    ", or make it writable",
    "the weights that can clone voices are not to be had (",
    "accept its terms at ",
    " mb are needed to bring ",
    " needs about ",
    "or raise the memory limit of container or unit, if it has one",
    "unknown key ",
    "ports below 1024 need special rights: ",
    "this machine has no such address",
)
"""In small letters, and as long as the program writes them in one piece."""


def in_one_line(text: str) -> str:
    return " ".join(text.lower().split())


def said() -> str:
    """All strings of the program, one after the other."""
    sources = (ROOT / "wyoming_pocket_tts").rglob("*.py")
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in sources)
    return "\n".join(
        node.value.lower()
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_what_the_page_quotes_is_what_the_program_says() -> None:
    program, page = said(), in_one_line(PAGE)
    for piece in QUOTED:
        assert in_one_line(piece) in page, f"the page does not say {piece!r}"
        assert piece.strip() in program, f"the program does not say {piece!r}"


def test_the_options_of_the_page_exist() -> None:
    offered = {option for command in COMMANDS for option in options_of(command)}
    others = {"--resolve", "--terminate", "--format", "--snd-command-rate"}  # of other programs
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= offered | others
