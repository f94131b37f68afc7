"""engine/fold, fast_unet and fast_decoder: folded weights give the reference's numbers, in float64 to the last digits."""

import copy

import pytest
import torch
from torch import nn

from small_networks import WIDTHS, make_unet, make_vae
from unstill.engine.fast_decoder import FastDecoder
from unstill.engine.fast_unet import FastUNet
from unstill.kernels.norm import TILE_M, Moments, group_norm_plain


def ask(frames=5, rows=8, columns=12, clips=2, dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(clips, frames, 8, rows, columns, generator=generator, dtype=dtype)
    context = torch.randn(clips, 1, 24, generator=generator, dtype=dtype)
    context[0] = 0  # the branch that sees no picture
    return x, torch.tensor(0.7), context, torch.tensor([[6.0, 127.0, 0.02]] * clips, dtype=dtype)


def differ(one, two):
    return float((one - two).norm() / two.norm())


MORE = pytest.mark.thorough("other sizes; each kind has one case before")


@pytest.mark.parametrize(("frames", "rows", "columns", "clips", "layers"), [
    (3, 4, 6, 2, 1), (1, 5, 3, 1, 2),
    *(pytest.param(*shape, layers, marks=MORE)
      for shape in [(5, 8, 12, 2), (1, 9, 7, 1), (14, 4, 4, 2), (2, 12, 8, 4)] for layers in (1, 2)),
])  # fmt: skip
@torch.no_grad()
def test_the_folded_unet_is_the_unet(frames, rows, columns, clips, layers):
    unet = make_unet(transformer_layers_per_block=layers)
    asked = ask(frames, rows, columns, clips)
    whole = unet(*asked)
    assert differ(FastUNet(unet)(*asked), whole) < 1e-12


@torch.no_grad()
@pytest.mark.slow
def test_tables_follow_what_the_network_is_told():
    """Another step, another picture, other numbers and another length, one after the other on one network."""
    unet = make_unet()
    cases = []
    for change in range(4):
        x, time, context, ids = ask(frames=2 if change == 3 else 3, rows=4, columns=6, seed=change)
        cases.append((x, time + change, context, ids + change))
    wanted = [unet(*case) for case in cases]
    fast = FastUNet(unet)
    for _ in range(2):
        for case, whole in zip(cases, wanted, strict=True):
            assert differ(fast(*case), whole) < 1e-12


@torch.no_grad()
@pytest.mark.slow
def test_a_step_can_be_repeated_in_a_wider_dtype_at_any_size():
    """What waits on the CPU, the doubling's own weights for odd sizes, follows."""
    asked = ask(rows=9, columns=7)
    unet = make_unet(torch.bfloat16)
    exact = copy.deepcopy(unet).double()(*(part.bfloat16().double() for part in asked))
    fast = FastUNet(unet).float()
    assert differ(fast(*(part.bfloat16().float() for part in asked)).double(), exact) < 0.02  # folded in bf16


@torch.no_grad()
def test_clips_that_are_told_other_numbers_are_refused():
    """A step has one row of biases for all clips of a call."""
    x, time, context, ids = ask()
    ids[1, 1] += 1
    with pytest.raises(ValueError, match="the same numbers"):
        FastUNet(make_unet())(x, time, context, ids)


@torch.no_grad()
def test_a_context_of_several_keys_is_refused():
    x, time, context, ids = ask()
    with pytest.raises(ValueError, match="one key, not 2"):
        FastUNet(make_unet())(x, time, context.expand(-1, 2, -1), ids)


@torch.no_grad()
def test_what_became_a_table_is_not_among_the_weights():
    """At full size these are 256 of 1525 million."""
    unet = make_unet()
    before = sum(weight.numel() for weight in unet.parameters())
    named = [name for name, _ in unet.named_parameters() if any(
        part in name for part in ("time_pos_embed", "time_emb_proj", "attn2", "time_embedding", "add_embedding"))]  # fmt: skip
    tables = sum(unet.get_parameter(name).numel() for name in named)
    fast = FastUNet(unet)
    after = sum(x.numel() for x in (*fast.parameters(), *fast.buffers()))
    doubled = sum(block.upsamplers[0].conv.weight.numel() for block in unet.up_blocks if block.upsamplers)
    assert after < before - 0.95 * tables + 7 / 9 * doubled  # sixteen cells in place of nine


@pytest.mark.parametrize(("frames", "rows", "columns"), [
    (5, 3, 4), (1, 3, 3), *(pytest.param(*shape, marks=MORE) for shape in [(5, 6, 9), (1, 4, 4), (7, 6, 8), (25, 3, 2)]),
])  # fmt: skip
@torch.no_grad()
@pytest.mark.slow
def test_the_folded_decoder_is_the_decoder_whatever_the_chunk(frames, rows, columns):
    """Of one frame, of several, of a number that does not divide the clip, and of more than there are."""
    vae = make_vae(torch.float64)
    latents = torch.randn(frames, 4, rows, columns, dtype=torch.float64)
    whole, fast = vae.decode(latents, frames), FastDecoder(vae.decoder)
    for chunk in (1, 2, 5, 8, 25):
        assert differ(fast(latents, chunk * WIDTHS[0] * 64 * rows * columns), whole) < 1e-12, f"chunk {chunk}"


@pytest.mark.slow
@torch.no_grad()
def test_float32_is_no_farther_from_the_truth_than_the_reference():
    exact, rounded = make_vae(torch.float64), make_vae(torch.float32)
    rounded.load_state_dict({name: value.float() for name, value in exact.state_dict().items()})
    exact.load_state_dict({name: value.double() for name, value in rounded.state_dict().items()})
    latents = torch.randn(5, 4, 6, 8)
    truth = exact.decode(latents.double(), 5)
    stock = differ(rounded.decode(latents, 5), truth)
    assert differ(FastDecoder(rounded.decoder)(latents, 10**8), truth) < 1.1 * stock


@torch.no_grad()
def test_moments_of_bands_are_those_of_the_whole():
    norm = nn.GroupNorm(32, 64).double()
    nn.init.normal_(norm.weight)
    x_FPC = torch.randn(3, 2 * TILE_M + 17, 64, dtype=torch.float64) * 0.1 + 50
    moments = Moments(norm)
    bands = x_FPC.split(700, dim=1)
    for band in bands:
        moments.add(band[None])
    made = torch.cat([moments.apply(band[None]).view(band.shape) for band in bands], dim=1)
    whole = group_norm_plain(x_FPC.reshape(1, -1, 64), norm).view(x_FPC.shape)
    assert float((made - whole).abs().max()) < 1e-10
