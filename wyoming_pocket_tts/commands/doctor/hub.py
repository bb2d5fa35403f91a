"""Looks whether models can be downloaded, with the token of this machine. Downloads nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.commands.doctor.subject import Model
from wyoming_pocket_tts.errors import AccessDenied, DownloadError, NotThere, Unreachable
from wyoming_pocket_tts.pocket.hub import check_access, has_token

_ASKING_SECONDS = 5.0
_HUB = "hf://"


def downloads() -> Path:
    """Where what comes from the hub is kept."""
    from huggingface_hub import constants  # noqa: PLC0415  (light, as long as nothing else of it is asked for)

    return Path(constants.HF_HUB_CACHE)


@dataclass(frozen=True)
class Hub:
    """Whether the models of the settings can be had."""

    title: ClassVar[str] = "hub"
    limit_seconds: ClassVar[float] = 45.0
    models: Sequence[Model]
    local_files_only: bool = False

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        models = [model for model in self.models if (model.wanted.config.weights_path or "").startswith(_HUB)]
        if not models:
            yield ok("nothing has to be downloaded: the settings name no model of the hub")
            return
        if self.local_files_only:
            yield ok("the settings say to download nothing (models.local_files_only)")
            return
        for model in models:
            finding, goes_on = self._of(model)
            yield finding
            if not goes_on:  # the others would only make us wait
                return

    def _of(self, model: Model) -> tuple[Finding, bool]:
        """What there is to say about a model, and whether the next one is worth asking for."""
        label, config = model.wanted.label, model.wanted.config
        open_weights = config.weights_path_without_voice_cloning
        try:
            if open_weights is not None:
                check_access(open_weights, timeout_seconds=_ASKING_SECONDS)
        except AccessDenied:
            why = "the token that this machine has is refused" if has_token() else "the hub asks for a token"
            return problem(
                f"{label}: {why}, even for what is open to everybody",
                "make a new one on the hub's page of settings, then 'hf auth login' or HF_TOKEN; or remove the old one",
            ), True
        except NotThere as error:
            return problem(f"{label}: {error}", "install a newer version of this program"), True
        except Unreachable as error:
            return self._offline(str(error)), False
        except DownloadError as error:
            return problem(f"{label}: {error}", "do what the message says"), True
        return self._cloning(label, config.weights_path or ""), True

    def _cloning(self, label: str, weights: str) -> Finding:
        try:
            check_access(weights, timeout_seconds=_ASKING_SECONDS)
        except AccessDenied as error:
            advice = str(error).partition(": ")[2]
            return warning(f"{label}: can be downloaded, but not what makes voices of recordings", advice)
        except DownloadError as error:
            return warning(f"{label}: can be downloaded; what makes voices of recordings: {error}", "try again later")
        return ok(f"{label}: can be downloaded, voice cloning included")

    def _offline(self, reason: str) -> Finding:
        here = [model.wanted.label for model in self.models if model.is_installed]
        lacking = [model.wanted.label for model in self.models if not model.is_installed]
        connect = _why_unconnected(reason)
        without = f"works without: {', '.join(['the embedded voices', *here])}"
        if not lacking:
            return warning(f"the hub cannot be asked ({reason})", f"nothing for now: {without}")
        return warning(
            f"the hub cannot be asked ({reason})",
            f"{without}. For {', '.join(lacking)}: {connect}, or run 'wyoming-pocket-tts download' on"
            " another machine and copy the data directory",
        )


def _why_unconnected(reason: str) -> str:
    """What to do so that the hub answers."""
    if "HF_HUB_OFFLINE" in reason:
        return "remove HF_HUB_OFFLINE from the environment"
    if "certificate" in reason.lower():
        return "see that the clock is right; a proxy that looks into connections needs its certificate in SSL_CERT_FILE"
    return "connect this machine (cable, router, DNS, proxy)"
