"""engine/parked.py: places for frames that wait, and what is made of them."""

import pytest
import torch

from small_networks import make_vae
from unstill.engine.fast_decoder import FastDecoder
from unstill.engine.parked import Lot, decode_parked

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("parked", [1, 4, 7])
@pytest.mark.parametrize("frames_at_once", [1, 3])
@torch.no_grad()
def test_a_decoding_is_the_same_wherever_frames_wait(parked, frames_at_once):
    vae = make_vae(torch.float64)
    z = torch.randn(7, 4, 8, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = vae.decode(z, 7)
    decoder = FastDecoder(vae.decoder)
    lot = Lot(parked, decoder.find_largest(8, 12, 4), z.dtype, CPU)
    made = decode_parked(decoder, z, frames_at_once * 32 * 64 * 96, lot)
    assert float((made - whole).norm() / whole.norm()) < 1e-12


def test_places_may_be_let_go_of_while_they_are_made_ready(monkeypatch):
    """Nothing is said on the way, and every place is given back."""
    said, given_back = [], []
    monkeypatch.setattr("sys.unraisablehook", said.append)
    monkeypatch.setattr("unstill.engine.parked.unpin", given_back.append)
    lot = Lot(200, 100_000, torch.float32, CPU)
    del lot
    assert said == []
    assert len(given_back) == 200


def test_places_that_cannot_be_had_are_an_error_where_they_are_asked_for(monkeypatch):
    def refuse(*_):
        raise MemoryError("no more")

    monkeypatch.setattr("unstill.engine.parked.pin", refuse)
    with pytest.raises(MemoryError, match="no more"):
        Lot(3, 10, torch.float32, CPU).wait()
