"""Where PyTorch computes. Knows nothing about models."""

import torch

from wyoming_pocket_tts.errors import ConfigError, shown


def usable_device(name: str) -> torch.device:
    """Find a device and try it.

    Raises:
        ConfigError: PyTorch knows no such device, or this machine or this build of PyTorch has none.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"the device {shown(name)} cannot be used here ({reason}); there are: {', '.join(_present())}"
        ) from error
    return device


def _present() -> list[str]:
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *cuda, *mps]
