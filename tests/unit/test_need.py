"""memory/need.py: what is foreseen from shapes is what is held, counted storage by storage."""

import pytest
import torch

from allocations import Allocations
from unstill.artifacts import Rung
from unstill.engine.decoder import Bench, decode_by_layers
from unstill.engine.fast_decoder import FastDecoder
from unstill.engine.fast_unet import FastUNet
from unstill.engine.parked import Lot, decode_parked
from unstill.memory.need import Work, count_decode, count_encode, count_step, list_kept
from unstill.model.config import UNetConfig, VAEConfig
from unstill.model.unet import UNet
from unstill.model.vae import VAE
from unstill.values import Size

CPU = torch.device("cpu")
MORE = pytest.mark.thorough("other sizes of the same")
STEPS = [(3, 8, 8, 2), *(pytest.param(*shape, marks=MORE) for shape in [(4, 16, 16, 2), (7, 16, 24, 1), (14, 8, 12, 2)])]
DECODINGS = [(5, 4, 6), *(pytest.param(*shape, marks=MORE) for shape in [(5, 8, 8), (9, 12, 8), (14, 8, 12)])]
EACH = 4  # bytes of a number
SMALL = UNetConfig(
    block_out_channels=(64, 128, 128), down_attention=(True, True, False), up_attention=(False, True, True),
    num_attention_heads=(2, 4, 4), cross_attention_dim=24, addition_time_embed_dim=16,
)  # fmt: skip
VAE_CONFIG = VAEConfig(block_out_channels=(32, 64, 128, 128))


@pytest.fixture(scope="module")
def unets():
    torch.manual_seed(0)
    reference = UNet(SMALL).eval()
    fast = UNet(SMALL).eval()
    fast.load_state_dict(reference.state_dict())
    return {"reference": reference, "fast": FastUNet(fast)}


@pytest.fixture(scope="module")
def vaes():
    torch.manual_seed(0)
    one, two = VAE(VAE_CONFIG).eval(), VAE(VAE_CONFIG).eval()
    return {"reference": one, "fast": FastDecoder(two.decoder)}


def work_of(engine, frames, rows, columns, branches=2):
    return Work(Size(8 * columns, 8 * rows), frames, branches, EACH, engine, has_kernels=False)


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "rows", "columns", "branches"), STEPS)
@pytest.mark.parametrize(
    ("engine", "rung"),
    [("reference", Rung("fast", 1)), ("reference", Rung("lean", 1, splits=True)), ("reference", Rung("tiny", 1, forward_chunk=1)),
     ("reference", Rung("tiny", 1, splits=True, forward_chunk=2)), ("fast", Rung("fast", 1)), ("fast", Rung("lean", 1, splits=True)),
     ("fast", Rung("tiny", 1, splits=True, parts=4))],
    ids=str,
)  # fmt: skip
@torch.no_grad()
def test_a_step_holds_what_was_foreseen(unets, engine, rung, frames, rows, columns, branches):
    unet = unets[engine]
    clips = 1 if rung.splits else branches
    if engine == "fast":
        unet.take_turns(splits=rung.splits, parts=rung.parts)
        clips = branches
    else:
        unet.set_forward_chunk(rung.forward_chunk)
    given = (torch.randn(clips, frames, 8, rows, columns), torch.tensor(0.7), torch.randn(clips, 1, 24),
             torch.tensor([[6.0, 127.0, 0.02]] * clips))  # fmt: skip
    unet(*given)  # tables are made
    with Allocations() as held:
        unet(*given)
    foreseen = EACH * count_step(SMALL, rows, columns, work_of(engine, frames, rows, columns, branches), rung)
    assert foreseen == pytest.approx(held.peak, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "rows", "columns"), DECODINGS)
@pytest.mark.parametrize(
    ("engine", "chunk", "parked"),
    [("reference", 1, 0), ("reference", 3, 0), ("reference", 99, 0), ("fast", 1, 0), ("fast", 3, 0), ("fast", 99, 0), ("fast", 1, 2),
     ("fast", 1, 5)],
)  # fmt: skip
@torch.no_grad()
def test_decoding_holds_what_was_foreseen(vaes, engine, chunk, parked, frames, rows, columns):
    network, chunk = vaes[engine], min(chunk, frames)
    z, values = torch.randn(frames, 4, rows, columns), chunk * 32 * rows * columns * 64
    lot = Lot(parked, max(list_kept(VAE_CONFIG, rows * columns)), z.dtype, CPU) if parked else None
    if lot is not None:
        lot.wait()
    with Allocations() as held:
        if lot is not None:
            decode_parked(network, z, values, lot)
        elif engine == "fast":
            network(z, values)
        elif chunk == frames:
            network.decode(z, frames)
        else:
            decode_by_layers(network.decoder, z, Bench(values, CPU, CPU))
    rung = Rung("tiny", chunk, parked=parked)
    foreseen = EACH * count_decode(VAE_CONFIG, rows, columns, work_of(engine, frames, rows, columns), rung)
    assert foreseen == pytest.approx(held.peak, rel=0.12)  # without kernels the fast engine holds some copies more


@torch.no_grad()
@pytest.mark.slow
def test_encoding_holds_what_was_foreseen(vaes):
    """But for what a GPU's library takes for itself, a convolution's input once more."""
    pixels = torch.randn(1, 3, 256, 320)
    with Allocations() as held:
        vaes["reference"].encode(pixels)
    library = EACH * 256 * 320 * 32
    assert EACH * count_encode(VAE_CONFIG, Size(320, 256)) - library == pytest.approx(held.peak, rel=0.1)


def test_allocations_are_counted_once_and_until_they_go():
    with Allocations() as held:
        one = torch.ones(1000)
        two = one + 1
        one.add_(two.view(10, 100).flatten())
        del two
        assert held.held == 4000
        three = one * 2
    assert (held.held, held.peak) == (8000, 8000)
    assert three is not None
