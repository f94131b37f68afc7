"""memory/pace.py: the work that is counted is the work that is done."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from unstill.cli.telling import show_about
from unstill.memory.pace import count_decode_work, count_step_work, measure_link, measure_rate
from unstill.model.config import UNetConfig, VAEConfig
from unstill.model.unet import UNet
from unstill.model.vae import VAE

SMALL = UNetConfig(
    block_out_channels=(64, 128, 128), down_attention=(True, True, False), up_attention=(False, True, True),
    num_attention_heads=(2, 4, 4), cross_attention_dim=24, addition_time_embed_dim=16,
)  # fmt: skip


def count(work):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return counter.get_total_flops()


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "rows", "columns"), [
    (14, 16, 24), pytest.param(5, 32, 16, marks=pytest.mark.thorough("another size of the same")),
])  # fmt: skip
def test_a_steps_work(frames, rows, columns):
    """Without what does not grow with the picture: tables, and keys of one token."""
    with torch.device("meta"):
        unet = UNet(SMALL)
        given = (torch.zeros(1, frames, 8, rows, columns), torch.tensor(0.7), torch.zeros(1, 1, 24), torch.zeros(1, 3))
    assert count_step_work(SMALL, rows, columns, frames) == pytest.approx(count(lambda: unet(*given)), rel=0.05)


@pytest.mark.parametrize(("frames", "rows", "columns"), [(3, 8, 12), (7, 16, 8)])
def test_a_decodings_work(frames, rows, columns):
    config = VAEConfig(block_out_channels=(32, 64, 64, 64))
    with torch.device("meta"):
        vae, z = VAE(config), torch.zeros(frames, 4, rows, columns)
    assert count_decode_work(config, rows, columns, frames) == pytest.approx(count(lambda: vae.decode(z, frames)), rel=1e-6)


def test_the_published_networks_work():
    """In TFLOP: 25 frames of 1024x576, both branches."""
    assert 2 * count_step_work(UNetConfig(), 72, 128, 25) / 1e12 == pytest.approx(159.9, rel=0.005)
    assert count_decode_work(VAEConfig(), 72, 128, 25) / 1e12 == pytest.approx(173.6, rel=0.005)


def test_a_device_is_timed():
    """A rate is a count over a time: a number above zero, however busy the machine."""
    assert 0 < measure_rate("cpu", "fp32") < math.inf
    assert 0 < measure_link("cpu") < math.inf


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.34, "0.3 s"), (12.3, "12 s"), (89, "89 s"), (200, "3 min"), (20_000, "5.6 h")]
)
def test_a_time_that_is_not_known_well_is_written_so(seconds, said):
    assert show_about(seconds) == said
