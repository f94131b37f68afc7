"""engine/stream.py: weights that come block by block are the right ones, whatever the window."""

import random

import pytest
import torch
from torch import nn

from small_networks import make_unet
from unstill.engine.fast_unet import FastUNet
from unstill.engine.places import Places
from unstill.engine.stream import lay_out

CPU = torch.device("cpu")


def blocks_of(sizes, window):
    """Play a window: what lies at every place, and what a block finds at its own when it runs, over three rounds."""
    slots, lies = lay_out(sizes, window), [None] * window
    done = asked = 0
    count, come = len(sizes), set()
    while done < 3 * count:
        while asked < done + count and asked - slots[asked % count].after < done:
            number = asked % count
            if not (slots[number].is_alone and number in come):
                start = slots[number].start
                lies[start : start + sizes[number]] = [number] * sizes[number]
                come.add(number)
            asked += 1
        number = done % count
        start = slots[number].start
        yield number, lies[start : start + sizes[number]], asked - done
        done += 1


@pytest.mark.parametrize("seed", range(200))
def test_a_block_finds_its_own_weights(seed):
    draw = random.Random(seed)
    sizes = [draw.randint(1, 40) for _ in range(draw.randint(1, 30))]
    window = draw.randint(max(sizes), sum(sizes) + 20)
    for number, found, _ in blocks_of(sizes, window):
        assert found == [number] * sizes[number]


def test_a_wider_window_brings_more_ahead():
    sizes = [10] * 12
    ahead = [min(coming for _, _, coming in blocks_of(sizes, window)) for window in (10, 20, 40, 120)]
    assert ahead == sorted(ahead)
    assert (ahead[0], ahead[1], ahead[3]) == (1, 2, 12)


def test_what_shares_its_place_with_none_comes_once():
    slots = lay_out([10] * 4, 40)
    assert all(slot.is_alone for slot in slots)
    assert not any(slot.is_alone for slot in lay_out([10] * 4, 20))


def test_a_block_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="does not fit"):
        lay_out([10, 30], 20)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.1])
@torch.no_grad()
def test_a_streamed_network_is_the_network(engine, share):
    """Bit for bit, over several runs, one of which breaks off, and afterwards."""
    unet = make_unet(torch.float32)
    unet = FastUNet(unet) if engine == "fast" else unet
    generator = torch.Generator().manual_seed(1)
    given = (torch.randn(2, 2, 8, 4, 6, generator=generator), torch.tensor(0.7),
             torch.randn(2, 1, 24, generator=generator), torch.tensor([[6.0, 127.0, 0.02]] * 2))  # fmt: skip
    whole = unet(*given)
    places, size = Places(CPU), 4 * sum(weight.numel() for weight in unet.parameters())
    places.swap({unet: unet.list_units()}, max(1, int(share * size)))
    with places.running(unet):
        assert torch.equal(unet(*given), whole)
        assert torch.equal(unet(*given), whole)

        def refuse(*_):
            raise torch.OutOfMemoryError("CUDA out of memory")

        hook = unet.list_units()[4].register_forward_pre_hook(refuse)
        with pytest.raises(torch.OutOfMemoryError):
            unet(*given)
        hook.remove()
        assert torch.equal(unet(*given), whole)
    places.clear()
    assert torch.equal(unet(*given), whole)


def test_units_hold_most_of_the_weights_each_once():
    for unet in (make_unet(), FastUNet(make_unet())):
        units = unet.list_units()
        inside = [id(weight) for unit in units for weight in unit.parameters()]
        assert len(inside) == len(set(inside))
        held = sum(weight.numel() for unit in units for weight in unit.parameters())
        assert held > 0.8 * sum(weight.numel() for weight in unet.parameters())
        assert all(isinstance(unit, nn.Module) for unit in units)
