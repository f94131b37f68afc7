"""engine/decoder.py: layer by layer is the whole."""

import pytest
import torch
from torch import nn

from small_networks import WIDTHS, make_vae
from unstill.engine.decoder import Bench, Statistics, decode_by_layers

CPU = torch.device("cpu")


def decode(vae, latents, frames_at_once):
    rows, columns = (8 * side for side in latents.shape[-2:])
    bench = Bench(frames_at_once * WIDTHS[0] * rows * columns, CPU, CPU)
    return decode_by_layers(vae.decoder, latents, bench)


MORE = pytest.mark.thorough("other sizes; one frame and several have a case each before")


@pytest.mark.parametrize(("frames", "rows", "columns"), [
    (5, 3, 4), (1, 3, 3), *(pytest.param(*shape, marks=MORE) for shape in [(5, 6, 9), (1, 4, 4), (14, 5, 3), (25, 3, 2)]),
])  # fmt: skip
@torch.no_grad()
@pytest.mark.slow
def test_any_chunk_gives_the_whole_to_the_last_digits_of_float64(frames, rows, columns):
    vae = make_vae(torch.float64)
    latents = torch.randn(frames, 4, rows, columns, dtype=torch.float64)
    whole = vae.decode(latents, frames)
    for chunk in (1, 2, 5, 8, 25):
        made = decode(vae, latents, chunk)
        assert float((made - whole).norm() / whole.norm()) < 1e-12, f"chunk {chunk}"


@torch.no_grad()
def test_frames_at_once_without_layers_are_another_clip():
    """What is avoided: a decoder that is given two frames at a time makes other frames."""
    vae = make_vae(torch.float64)
    latents = torch.randn(4, 4, 3, 3, dtype=torch.float64)
    whole = vae.decode(latents, 4)
    seams = torch.cat([vae.decode(part, 2) for part in latents.split(2)])
    assert float((seams - whole).norm() / whole.norm()) > 0.01


@torch.no_grad()
@pytest.mark.slow
def test_no_layer_is_given_more_than_the_bench_holds():
    """Activations over all frames would be nine times as large."""
    vae = make_vae(torch.float32)
    seen = []
    for module in vae.decoder.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.GroupNorm):
            module.register_forward_pre_hook(lambda module, given: seen.append(given[0].numel()))
    decode(vae, torch.randn(9, 4, 4, 4), 1)
    assert max(seen) <= WIDTHS[0] * 32 * 32


@torch.no_grad()
def test_halves_are_rounded_once_as_group_norms_round_them():
    norm = nn.GroupNorm(32, 64).to(torch.bfloat16)
    nn.init.normal_(norm.weight)
    x = torch.randn(1, 64, 3, 4, 5, dtype=torch.bfloat16) * 3 + 7
    found = Statistics(norm)
    for band in x.split(2, dim=3):
        found.add(band)
    exact = nn.functional.group_norm(x.double(), 32, norm.weight.double(), norm.bias.double(), norm.eps)
    assert float((found.finish()(x).double() - exact).norm()) <= 1.01 * float((norm(x).double() - exact).norm())
