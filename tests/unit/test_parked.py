"""engine/parked.py: places for frames that wait, and what is made of them."""

import pytest
import torch

from small_networks import WIDTHS, make_vae
from unstill.engine.fast_decoder import FastDecoder
from unstill.engine.parked import Lot, decode_parked

CPU = torch.device("cpu")


MORE = pytest.mark.thorough("a larger clip; fewer pixels wait alike")
CLIP, LARGER = (4, 3, 4), (7, 8, 12)


@pytest.mark.parametrize(("clip", "parked", "frames_at_once"), [
    (CLIP, 1, 1), (CLIP, 3, 3), (CLIP, 4, 1),
    *(pytest.param(LARGER, parked, frames_at_once, marks=MORE) for parked in (1, 4, 7) for frames_at_once in (1, 3)),
])  # fmt: skip
@torch.no_grad()
def test_a_decoding_is_the_same_wherever_frames_wait(clip, parked, frames_at_once):
    vae, (frames, rows, columns) = make_vae(torch.float64), clip
    z = torch.randn(frames, 4, rows, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = vae.decode(z, frames)
    decoder = FastDecoder(vae.decoder)
    lot = Lot(parked, decoder.find_largest(rows, columns, 4), z.dtype, CPU)
    made = decode_parked(decoder, z, frames_at_once * WIDTHS[0] * 64 * rows * columns, lot)
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
