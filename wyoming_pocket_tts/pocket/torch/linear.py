"""The linear layer of the language model. Knows nothing about what is multiplied.

On processors that are not Intel's, PyTorch's usual product of 32-bit matrices (MKL) runs at half the speed of oneDNN's,
which PyTorch also carries: through a layer of 1024 x 4096, 35 positions took one core 2.2 ms instead of 4.6, and one
position 0.76 ms instead of 0.86 (AMD EPYC with AVX-512). The results differ by rounding alone.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own name for it)


class Linear(nn.Linear):
    """``torch.nn.Linear`` that takes oneDNN's product where there is one."""

    def forward(self, x: Tensor) -> Tensor:  # [..., in] -> [..., out]
        if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
            return F.linear(x, self.weight, self.bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001  (what PyTorch's compiler calls)
            x, self.weight, self.bias, "none", [], ""
        )
        return product
