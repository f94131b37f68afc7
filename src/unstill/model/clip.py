"""What the model sees of the picture as a whole: CLIP's image tower, and the pixels it is fed.

Equal bit for bit to transformers 5.23 and to the preparation in the diffusers pipeline. It does not know how
the picture was read or framed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unstill.model.blocks import split_heads
from unstill.model.config import CLIPConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_AREA_PX = 16_000_000  # in float32 with what the blur needs beside it: under 1 GB


class SelfAttention(nn.Module):
    """Attention of tokens to one another, with CLIP's names."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x_BND: Tensor) -> Tensor:
        q, k, v = self.q_proj(x_BND), self.k_proj(x_BND), self.v_proj(x_BND)
        q_BKND, k_BKND, v_BKND = (split_heads(x, self.heads) for x in (q, k, v))
        out_BKND = F.scaled_dot_product_attention(q_BKND, k_BKND, v_BKND, scale=self.scale)
        out: Tensor = self.out_proj(out_BKND.transpose(1, 2).flatten(2))
        return out


class Perceptron(nn.Module):
    """Widen, bend, narrow."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x_BND: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x_BND)))
        return out


class EncoderLayer(nn.Module):
    """One layer of the tower."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.self_attn = SelfAttention(config.hidden_size, config.num_attention_heads)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = Perceptron(config.hidden_size, config.intermediate_size)

    def forward(self, x_BND: Tensor) -> Tensor:
        x_BND = x_BND + self.self_attn(self.layer_norm1(x_BND))
        out: Tensor = x_BND + self.mlp(self.layer_norm2(x_BND))
        return out


class Embeddings(nn.Module):
    """Cut pixels into patches, put a summary token before them, and say where each is."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        width, side = config.hidden_size, config.patch_size
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(config.num_channels, width, side, stride=side, bias=False)
        positions = (config.image_size // side) ** 2 + 1
        # With a weight given, nothing is initialised: on the meta device that alone would import for a second.
        self.position_embedding = nn.Embedding(positions, width, _weight=torch.zeros(positions, width))

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        patches_BND = self.patch_embedding(pixels_BCHW).flatten(2).transpose(1, 2)
        summary_BND = self.class_embedding.expand(len(pixels_BCHW), 1, -1)
        return torch.cat([summary_BND, patches_BND], dim=1) + self.position_embedding.weight


class VisionModel(nn.Module):
    """Pixels to the summary token."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)  # spelled so in the published files
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(EncoderLayer(config) for _ in range(config.num_hidden_layers))})
        self.post_layernorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        x_BND = self.pre_layrnorm(self.embeddings(pixels_BCHW))
        for layer in self.encoder["layers"].children():
            x_BND = layer(x_BND)
        out: Tensor = self.post_layernorm(x_BND[:, 0])
        return out


class ImageTower(nn.Module):
    """CLIP's view of a picture as one vector."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionModel(config)
        self.visual_projection = nn.Linear(config.hidden_size, config.projection_dim, bias=False)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        embeds_BD: Tensor = self.visual_projection(self.vision_model(pixels_BCHW))
        return embeds_BD


def clip_pixels(source_HWC: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float], side: int) -> Tensor:
    """Scale a picture of any size to side × side and normalise it for CLIP; float32, [1, C, side, side].

    It is stretched, not cropped: blurred by the scale, sampled bicubically, and only then normalised, as SVD was
    trained. Pictures above 16 megapixels are first averaged over whole squares of pixels, which bounds the memory
    and differs from the pipeline by less than the blur that follows removes.
    """
    for axis in (0, 1):
        if source_HWC.shape[axis] == 1:  # nothing to reflect at its edge, but the same pixel twice is the same picture
            source_HWC = source_HWC.repeat(2, axis=axis)
    pixels_HWC = shrink_by_whole(source_HWC, LARGEST_AREA_PX)
    pixels_HWC /= 255.0
    x_1CHW = torch.from_numpy(pixels_HWC.transpose(2, 0, 1)[None]).mul_(2.0).sub_(1.0)
    x_1CHW = blur_for(x_1CHW, side)
    x_1CHW = F.interpolate(x_1CHW, size=(side, side), mode="bicubic", align_corners=True)
    mean_C11, std_C11 = (torch.tensor(tuple(numbers))[:, None, None] for numbers in (mean, std))
    return ((x_1CHW + 1.0) / 2.0 - mean_C11) / std_C11


def shrink_by_whole(source_HWC: NDArray[np.uint8], largest_px: int) -> NDArray[np.float32]:
    """Average over squares of the smallest whole side that leaves at most so many pixels."""
    rows, columns = source_HWC.shape[:2]
    factor = max(1, math.ceil(math.sqrt(rows * columns / largest_px)))
    if factor == 1:
        return source_HWC.astype(np.float32)
    # A side shorter than the square keeps one row; what does not fill a last square is left out.
    down, right = min(factor, rows), min(factor, columns)
    kept_HWC = source_HWC[: rows // down * down, : columns // right * right]
    total_HWC: NDArray[np.float32] = np.zeros((rows // down, columns // right, source_HWC.shape[2]), np.float32)
    for row in range(down):
        for column in range(right):
            total_HWC += kept_HWC[row::down, column::right]
    total_HWC /= down * right
    return total_HWC


def blur_for(x_1CHW: Tensor, side: int) -> Tensor:
    """Blur in place by what a reduction to side × side would alias.

    The rule is scikit-image's, which the pipeline follows: sigma is half of the factor less one.
    """
    for axis in (-1, -2):  # columns first, as in the pipeline
        length = x_1CHW.shape[axis]
        sigma = max((length / side - 1.0) / 2.0, 0.001)
        kernel_N = make_gaussian(int(max(4.0 * sigma, 3)) | 1, sigma)
        reach = len(kernel_N) // 2
        padded = F.pad(x_1CHW, (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach), mode="reflect")
        # Tap by tap: the bits of a depthwise convolution, at a fifth of its memory (2.5 GB for 16 megapixels).
        x_1CHW.zero_()
        for tap, weight in enumerate(kernel_N.tolist()):
            x_1CHW.add_(padded.narrow(axis, tap, length), alpha=weight)
    return x_1CHW


def make_gaussian(length: int, sigma: float) -> Tensor:
    """Return an odd number of weights that sum to one, in float32."""
    width = torch.tensor(sigma)
    distance_N = torch.arange(length, dtype=torch.float32) - length // 2
    weights_N = torch.exp(-distance_N.pow(2.0) / (2 * width.pow(2.0)))
    return weights_N / weights_N.sum()
