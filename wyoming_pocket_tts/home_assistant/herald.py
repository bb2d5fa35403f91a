"""Tells the Supervisor where the service is, so that Home Assistant offers it. Knows no service; owns one thread."""

import http.client
import json
import logging
import threading
import urllib.error
import urllib.request
from http import HTTPStatus

_LOGGER = logging.getLogger(__name__)

SUPERVISOR = "http://supervisor"
_TIMEOUT_SECONDS = 4.0
"""Closing may have to wait for it, and a container has ten seconds to stop."""
_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0


class Herald:
    """Announces one URI, once it is started, until somebody has heard it. A helper of the service (``engines``)."""

    def __init__(
        self, uri: str, token: str, *, supervisor: str = SUPERVISOR, first_pause_seconds: float = _FIRST_PAUSE_SECONDS
    ) -> None:
        """Prepare to announce ``uri`` in the name of the app that ``token`` belongs to."""
        self._request = urllib.request.Request(  # noqa: S310  (the Supervisor's http address)
            f"{supervisor}/discovery",
            data=json.dumps({"service": "wyoming", "config": {"uri": uri}}).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        self._uri = uri
        self._pause_seconds = first_pause_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="herald")

    def start(self) -> None:
        """Begin to announce. The service has to answer already: Home Assistant asks it at once."""
        self._thread.start()

    def stop(self) -> None:
        """Give up; returns at once."""
        self._stopped.set()

    def close(self) -> None:
        """Give up, and join the thread."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set() and not self._announce():
            self._stopped.wait(self._pause_seconds)
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _announce(self) -> bool:
        """Try once; return whether there is nothing more to do."""
        try:
            with urllib.request.urlopen(self._request, timeout=_TIMEOUT_SECONDS):  # noqa: S310  (see above)
                pass
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error)
        except (OSError, http.client.HTTPException) as error:  # the latter: an answer that is no HTTP
            _LOGGER.warning("The Supervisor does not answer (%s); trying again", error)
            return False
        _LOGGER.info("Home Assistant has been told about %s", self._uri)
        return True

    def _refused(self, error: urllib.error.HTTPError) -> bool:
        """Whether asking again is of no use."""
        final = HTTPStatus.BAD_REQUEST <= error.code < HTTPStatus.INTERNAL_SERVER_ERROR
        final = final and error.code != HTTPStatus.TOO_MANY_REQUESTS
        _LOGGER.warning(
            "The Supervisor refuses to tell Home Assistant about this app (%s %s)%s",
            error.code,
            error.reason,
            f"; add it by hand: Wyoming Protocol, {self._uri}" if final else "; trying again",
        )
        return final
