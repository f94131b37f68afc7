"""Networks of a few thousand weights, all of them random: what does not matter in a fresh network matters here."""

import torch
from torch import nn

from unstill.model.config import UNetConfig, VAEConfig
from unstill.model.unet import UNet
from unstill.model.vae import VAE

WIDTHS = (32, 32, 64, 64)


def make_vae(dtype):
    """A VAE whose blocks over time matter: weights, norms and blends are random."""
    torch.manual_seed(0)
    vae = VAE(VAEConfig(block_out_channels=WIDTHS)).to(dtype).eval()
    for weight in vae.parameters():
        nn.init.normal_(weight, mean=0.5 if weight.dim() == 1 else 0.0, std=0.15)
    return vae


SMALL = {
    "block_out_channels": (32, 64, 64), "down_attention": (True, True, False), "up_attention": (False, True, True),
    "num_attention_heads": (2, 4, 4), "cross_attention_dim": 24, "addition_time_embed_dim": 16,
}  # fmt: skip


def make_unet(dtype=torch.float64, **more):
    """A UNet in which everything matters: biases, blends and norms are far from their beginnings."""
    torch.manual_seed(0)
    unet = UNet(UNetConfig(**SMALL, **more)).to(dtype).eval()
    for weight in unet.parameters():
        nn.init.normal_(weight, mean=0.3 if weight.dim() == 1 else 0.0, std=0.4 if weight.dim() == 1 else 0.12)
    return unet
