"""What holds of the UNet whatever its weights; that it is the published one is shown in integration/test_model_parity."""

import re

import pytest
import torch
from torch import nn

from model_files import describe_miniature
from unstill.model.config import UNetConfig
from unstill.model.unet import UNet
from unstill.model.weights import load_unet


@pytest.fixture(scope="module")
def miniature_files(miniature):
    return describe_miniature(miniature)


@pytest.fixture(scope="module")
def unet(miniature_files):
    return load_unet(miniature_files, torch.float32, "cpu")


def make_input(clips=1, frames=3, rows=8, columns=8, tokens=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(clips, frames, 8, rows, columns, generator=generator)
    context = torch.randn(clips, tokens, 32, generator=generator)
    return x, torch.tensor(0.4), context, torch.tensor([[6.0, 127.0, 0.02]]).expand(clips, -1)


@pytest.fixture(scope="module")
def exact(miniature_files):
    """In float32, kernels that are chosen by size and processor differ in the last bits."""
    return load_unet(miniature_files, torch.float64, "cpu")


@torch.no_grad()
def run(unet, *inputs):
    return unet(*inputs)


def test_the_published_config_makes_1_524_623_082_parameters():
    with torch.device("meta"):
        unet = UNet(UNetConfig())
    assert sum(parameter.numel() for parameter in unet.parameters()) == 1_524_623_082


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (9, 15), (1, 1), (5, 24), (17, 3)])
def test_any_size_goes_in_and_the_same_comes_out(unet, rows, columns):
    """Also sides that halve to odd numbers: going up, each level is enlarged to what waits there."""
    out = run(unet, *make_input(rows=rows, columns=columns))
    assert out.shape == (1, 3, 4, rows, columns)
    assert out.isfinite().all()


def test_clips_of_a_batch_do_not_see_each_other(exact):
    x, time, context, ids = (given.double() for given in make_input(clips=2))
    both = run(exact, x, time, context, ids)
    alone = run(exact, x[1:], time, context[1:], ids[1:])
    torch.testing.assert_close(both[1:], alone, rtol=1e-12, atol=1e-12)


def test_frames_of_a_clip_do_see_each_other(unet):
    x, *told = make_input()
    before = run(unet, x, *told)
    x[:, 2] += 1
    assert (run(unet, x, *told)[:, 0] != before[:, 0]).any()


def test_each_clip_may_have_its_own_noise_level(exact):
    x, _, context, ids = (given.double() for given in make_input(clips=2))
    levels = torch.tensor([0.4, -1.0], dtype=torch.float64)
    both = run(exact, x, levels, context, ids)
    alone = run(exact, x[1:], levels[1], context[1:], ids[1:])
    torch.testing.assert_close(both[1:], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("told", [0, 1, 2])
def test_it_hears_every_number_it_is_told(unet, told):
    """fps − 1, motion and noise."""
    x, time, context, ids = make_input()
    changed = ids.clone()
    changed[:, told] += 5
    assert (run(unet, x, time, context, ids) - run(unet, x, time, context, changed)).abs().max() > 1e-3


MORE = pytest.mark.thorough("other lengths; one, one that leaves a rest and one beyond all frames have a case")


@pytest.mark.parametrize(
    ("chunk", "frames", "rows", "columns"),
    [*((chunk, 3, 4, 6) for chunk in (1, 2, 100)), *(pytest.param(chunk, 5, 8, 8, marks=MORE) for chunk in (1, 2, 3, 5, 100))],
)
def test_a_forward_chunk_of_any_length_changes_nothing(exact, chunk, frames, rows, columns):
    """diffusers refuses chunks that do not divide the frames, and cannot switch them off again."""
    inputs = [x.double() for x in make_input(2, frames, rows, columns)]
    whole = run(exact, *inputs)
    exact.set_forward_chunk(chunk)
    torch.testing.assert_close(run(exact, *inputs), whole, rtol=1e-12, atol=1e-12)
    exact.set_forward_chunk(None)
    assert torch.equal(run(exact, *inputs), whole)


def test_a_forward_chunk_bounds_what_runs_at_once(unet):
    """In space and over time it counts frames."""
    rows = []
    linears = [m for name, m in unet.named_modules() if isinstance(m, nn.Linear) and ".ff" in name]
    hooks = [m.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[:2].numel())) for m in linears]
    unet.set_forward_chunk(2)
    try:
        run(unet, *make_input(frames=6, rows=8, columns=8))
    finally:
        unet.set_forward_chunk(None)
        for hook in hooks:
            hook.remove()
    assert max(rows) == 2 * 8 * 8


def test_every_tensor_of_the_miniature_matters(miniature_files):
    """Else a test on it would not notice a tensor that is loaded wrongly."""
    unet = load_unet(miniature_files, torch.float64, "cpu").requires_grad_(True)
    # With SVD's single token, attention to it is constant: two show that queries and keys are used; 16 cells leave four at the bottom.
    unet(*(given.double() for given in make_input(rows=16, columns=16, tokens=2))).square().sum().backward()
    unused = [name for name, p in unet.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-6]
    # 32 channels in 32 groups: a norm takes away what is added to a whole channel before it, the output's norm included.
    shifts = re.compile(
        r"(down_blocks\.0|up_blocks\.3)\.resnets\..+\.(conv1\.bias|time_emb_proj\.(weight|bias))"
        r"|up_blocks\.3\..+\.(conv2|conv_shortcut|proj_out|ff\.net\.2)\.bias"
    )
    assert [name for name in unused if not shifts.fullmatch(name)] == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_it_runs_in_other_precisions(unet, miniature_files, dtype):
    """Blending factors follow the module, which in diffusers stay on the CPU under a device context."""
    other = load_unet(miniature_files, dtype, "cpu")
    assert {p.dtype for p in other.parameters()} == {dtype}
    x, time, context, ids = make_input()
    out = run(other, x.to(dtype), time, context.to(dtype), ids.to(dtype))
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), run(unet, x, time, context, ids), rtol=0, atol=0.1)


def test_a_device_context_holds_every_tensor():
    with torch.device("meta"):
        unet = UNet(UNetConfig(block_out_channels=(32, 32), down_attention=(True, False), up_attention=(False, True),
                               num_attention_heads=(1, 1)))  # fmt: skip
    assert {tensor.device.type for tensor in unet.state_dict().values()} == {"meta"}
