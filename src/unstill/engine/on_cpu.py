"""Layers that are slow on a CPU as PyTorch runs them, run by oneDNN's convolutions instead, with the same numbers.

Products go to MKL, which is half as fast as oneDNN on AMD's processors; convolutions over frames alone go to no library at
all. It does not know a model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def multiply(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """Give x @ weight.T + bias, over the last axis."""
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return F.linear(x, weight_NK, bias_N)
    rows_1KM1 = x.reshape(1, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # a picture of one column, channels last
    out_1NM1 = F.conv2d(rows_1KM1, weight_NK[:, :, None, None], bias_N)
    return out_1NM1.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight_NK))


class Product(nn.Module):
    """A linear layer."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return multiply(x, self.weight, self.bias)


class OverFrames(nn.Module):
    """A convolution over three frames at each pixel."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x_BCFHW: Tensor) -> Tensor:
        out_BCFP = F.conv2d(x_BCFHW.flatten(3), self.weight[..., 0], self.bias, padding=(1, 0))
        return out_BCFP.view(*out_BCFP.shape[:3], *x_BCFHW.shape[3:])


def hasten(network: nn.Module) -> None:
    """Replace such layers of a network that runs on a CPU, and lay the other convolutions' weights as oneDNN likes them."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Product(child))
            elif isinstance(child, nn.Conv3d) and child.kernel_size == (3, 1, 1) and child.padding == (1, 0, 0):
                setattr(module, name, OverFrames(child))
