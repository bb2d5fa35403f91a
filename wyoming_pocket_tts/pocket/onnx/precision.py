"""How exactly the graphs compute. Knows no graph: what a choice means for a network is written where that is made."""

from enum import StrEnum


class Precision(StrEnum):
    """A choice between speed and memory on one side and exactness on the other."""

    FP32 = "fp32"
    """The same numbers as the PyTorch network's, but for rounding."""
    INT8 = "int8"
    """Large matrices of the language model and of the codec in 8 bits."""
    MIXED = "mixed"
    """As ``INT8``, but the codec's convolutions stay exact."""
    INT4 = "int4"
    """As ``INT8``, but the language model's large matrices in 4 bits: audibly another reading of the same text."""

    @property
    def language_model_bits(self) -> int | None:
        """Bits of a number in the language model's large matrices; None for float32."""
        return {Precision.FP32: None, Precision.INT8: 8, Precision.MIXED: 8, Precision.INT4: 4}[self]
