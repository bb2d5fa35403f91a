"""Makes a response of what a client asks for: whose voice, which text, whose account. Knows no other requests."""

import logging
from collections.abc import Callable
from typing import Any

from wyoming_pocket_tts.errors import ProtocolError, SpeechError
from wyoming_pocket_tts.serving import fields, steps
from wyoming_pocket_tts.serving.account import Account
from wyoming_pocket_tts.serving.actions import Note
from wyoming_pocket_tts.serving.direction import ChooseVoice, Direction, primary_language
from wyoming_pocket_tts.serving.limits import Limits
from wyoming_pocket_tts.serving.response import Kind, Response
from wyoming_pocket_tts.text.pieces import MakePieces


class Desk:
    """Takes one client's requests.

    Args:
        choose: finds the voice for ``name``, ``speaker`` and ``language``; may raise ``VoiceError``.
        pieces: makes what reads a text.
        limits: what the client may ask for.
        account: opens the account of a request.
    """

    def __init__(
        self, *, choose: ChooseVoice, pieces: MakePieces, limits: Limits, account: Callable[[], Account]
    ) -> None:
        self._choose = choose
        self._make_pieces = pieces
        self._limits = limits
        self._open_account = account

    def begin(self, kind: Kind, data: dict[str, Any], refusal: SpeechError | None) -> tuple[Response, list[Note]]:
        """A response with the voice that the client wants, or one that has failed; what is refused costs nothing.

        Args:
            kind: what the client asked with.
            data: the event's.
            refusal: why nothing is answered any more, if that is so.
        """
        if refusal is not None:
            return self.failed(kind, refusal), []
        try:
            ssml = fields.ssml(data)
            wish = fields.voice(data)
            choice = self._choose(**wish)
        except SpeechError as error:
            return self.failed(kind, error), []
        reader = self._make_pieces(primary_language(choice.voice.languages[0]), ssml=ssml)
        direction = Direction(choice, self._choose)
        account = self._open_account()
        response = Response(kind, direction=direction, reader=reader, limits=self._limits, account=account)
        told = [(logging.DEBUG, steps.chosen(choice, wish, ssml=ssml))]
        told += [(logging.WARNING, warning) for warning in choice.warnings]
        return response, [Note(level, text, account.request) for level, text in told]

    def whole(self, data: dict[str, Any], refusal: SpeechError | None) -> tuple[Response, list[Note]]:
        """The same with all of its text; see ``begin``."""
        response, notes = self.begin(Kind.WHOLE, data, refusal)
        try:
            text = fields.text(data)
        except ProtocolError as error:
            response.fail(error)
        else:
            if not text.strip():
                response.fail(ProtocolError("there is no text to speak"))
            response.add_text(text)
            response.end_text()
        return response, notes

    def failed(self, kind: Kind, error: SpeechError) -> Response:
        """A response that will only tell what went wrong."""
        response = Response(kind, limits=self._limits, account=self._open_account())
        response.fail(error)
        return response
