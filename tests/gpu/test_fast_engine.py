"""The fast engine with its kernels, on small networks: as near to float64 as PyTorch's own layers in the same dtype."""

import copy

import pytest
import torch

from small_networks import make_unet, make_vae
from unstill.engine.fast_decoder import FastDecoder
from unstill.engine.fast_unet import FastUNet

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")]
SHAPES = [(14, 8, 16, 2), (25, 16, 8, 1), (25, 40, 40, 2), (5, 9, 7, 4), (1, 8, 8, 1)]  # frames, rows, columns, clips


def differ(made, exact):
    return float((made.double().cpu() - exact).norm() / exact.norm())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("frames", "rows", "columns", "clips"), SHAPES)
@torch.no_grad()
def test_a_step(frames, rows, columns, clips, dtype):
    unet = make_unet(torch.float32)
    for weight in unet.parameters():
        weight.copy_(weight.to(dtype))  # the same weights in every dtype
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(clips, frames, 8, rows, columns, generator=generator).to(dtype)
    context = torch.randn(clips, 1, 24, generator=generator).to(dtype)
    time, ids = torch.tensor(0.7), torch.tensor([[6.0, 127.0, 0.02]] * clips)
    exact = copy.deepcopy(unet).double()(x.double(), time, context.double(), ids.double())
    halves = copy.deepcopy(unet).to("cuda", dtype)
    stock = differ(halves(x.cuda(), time, context.cuda(), ids.cuda().to(dtype)), exact)
    made = FastUNet(unet.to(dtype)).cuda()(x.cuda(), time, context.cuda(), ids.cuda())
    assert differ(made, exact) < 1.1 * stock


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("frames", "rows", "columns"), [(14, 8, 16), (25, 32, 24), (3, 5, 7)])
@torch.no_grad()
def test_decoding_with_any_chunk(frames, rows, columns, dtype):
    vae = make_vae(torch.float32)
    for weight in vae.parameters():
        weight.copy_(weight.to(dtype))
    latents = torch.randn(frames, 4, rows, columns, generator=torch.Generator().manual_seed(2)).to(dtype)
    exact = copy.deepcopy(vae).double().decode(latents.double(), frames)
    stock = differ(copy.deepcopy(vae).to("cuda", dtype).decode(latents.cuda(), frames), exact)
    fast = FastDecoder(vae.decoder.to(dtype)).cuda()
    frame = 32 * 64 * rows * columns
    for chunk in (1, 2, 5, 8, frames):
        assert differ(fast(latents.cuda(), chunk * frame), exact) < 1.1 * stock
