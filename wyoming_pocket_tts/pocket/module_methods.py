"""What programs use of ``torch.nn.Module`` in a model: where it is, and its networks. Knows nothing about speech."""

from typing import TYPE_CHECKING, Any, Self

from wyoming_pocket_tts.pocket.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


class ModuleMethods:
    """A model that looks like upstream's, which is a module of PyTorch."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def device(self) -> "torch.device":
        """Where the weights are."""
        return self._backend.device  # type: ignore[no-any-return]  # or "cpu", without PyTorch

    @property
    def flow_lm(self) -> "torch.nn.Module":
        """The language model.

        Raises:
            AttributeError: ONNX Runtime computes.
        """
        return self._network("flow_lm").flow_lm  # type: ignore[no-any-return]

    @property
    def mimi(self) -> "torch.nn.Module":
        """The codec.

        Raises:
            AttributeError: ONNX Runtime computes.
        """
        return self._network("mimi").mimi  # type: ignore[no-any-return]

    def parameters(self, recurse: bool = True) -> "Iterator[torch.nn.Parameter]":  # noqa: FBT001, FBT002  (PyTorch's)
        """Yield the weights, which are for reading: speeches under way use them.

        Raises:
            AttributeError: ONNX Runtime computes.
        """
        return self._network("parameters").parameters(recurse)  # type: ignore[no-any-return]

    def to(self, device: "str | torch.device") -> Self:
        """Move the weights, as ``torch.nn.Module.to`` does. Nobody may be speaking meanwhile.

        Raises:
            ConfigError: the engine cannot use that device.
        """
        self._backend.move(device)
        return self

    def cpu(self) -> Self:
        """Move the weights to the processor."""
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> Self:
        """Move the weights to a graphics card; see ``to``."""
        return self.to("cuda" if device is None else f"cuda:{device}")

    def eval(self) -> Self:
        """Stay as it is: a model only ever speaks."""
        return self

    def _network(self, asked: str) -> Any:  # noqa: ANN401  (PyTorch's, if that computes)
        network = getattr(self._backend, "network", None)
        if network is None:
            raise AttributeError(
                f"{asked} is PyTorch's: this model runs with ONNX Runtime; load it with engine='torch'"
            )
        return network
