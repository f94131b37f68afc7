"""engine/places.py and bundle.py: one part on the device at a time, and the truth about which."""

import pytest
import torch
from torch import nn

from unstill.engine.bundle import Bundle
from unstill.engine.places import Places, list_tensors, move
from unstill.errors import MachineError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """A device whose memory is other memory of this host."""
    there = set()

    def go(bundle, _device):
        flat = bundle.flat.clone()
        there.add(flat.untyped_storage().data_ptr())
        bundle.place(flat)

    monkeypatch.setattr(Bundle, "go", go)
    return there


@pytest.fixture
def where(device):
    return lambda *parts: ["there" if part.weight.untyped_storage().data_ptr() in device else "here" for part in parts]


class Layer(nn.Linear):
    """A layer with a buffer besides, as folded networks have them."""

    def __init__(self, inside, outside):
        super().__init__(inside, outside)
        self.register_buffer("table", torch.ones(3))


@pytest.fixture
def parts():
    return {Layer(2, 3): [], Layer(3, 2): []}


@pytest.fixture
def places(parts):
    places = Places(CPU)
    places.swap(parts, 0)
    return places


def test_a_part_stays_until_another_needs_the_device(places, parts, where):
    first, second = parts
    for part, found in ((first, ["there", "here"]), (first, ["there", "here"]), (second, ["here", "there"])):
        with places.running(part):
            assert where(first, second) == found
        assert where(first, second) == found


def test_what_rests_is_what_it_was(parts):
    before = [part.weight.clone() for part in parts]
    places = Places(CPU)
    places.swap(parts, 0)
    for part in parts:
        with places.running(part):
            pass
    places.clear()
    assert all(torch.equal(part.weight, was) for part, was in zip(parts, before, strict=True))


def test_a_move_that_fails_leaves_nothing_there_and_is_tried_again(places, parts, where, monkeypatch):
    first, _ = parts

    def refuse(*_):
        raise torch.OutOfMemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Bundle, "go", refuse)
        with pytest.raises(torch.OutOfMemoryError), places.running(first):
            pass
    assert where(first) == ["here"]
    with places.running(first):
        assert where(first) == ["there"]


def test_without_swapping_nothing_moves(parts, where):
    first, _ = parts
    with Places(CPU).running(first):
        assert where(first) == ["here"]


def test_all_parts_stay_again(places, parts):
    places.stay(parts)
    assert not places.swaps


def test_parts_that_no_longer_fit_go_on_taking_turns(places, parts, where, monkeypatch):
    """Putting everything back must not cost a clip that is made."""
    first, second = parts

    noted = [list_tensors(part) for part in parts]

    def move_one(part, device):
        if part is second:
            raise torch.OutOfMemoryError("CUDA out of memory")
        move(part, device)

    monkeypatch.setattr("unstill.engine.places.move", move_one)
    places.stay(parts)
    assert places.swaps
    assert where(first, second) == ["here", "here"]
    assert all(
        old is new
        for part, tensors in zip(parts, noted, strict=True)
        for old, new in zip(tensors, list_tensors(part), strict=True)
    )


def test_parts_that_cannot_take_turns_stay_where_they_were(parts, where, monkeypatch):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr("unstill.engine.places.Movable", refuse)
    places = Places(CPU)
    with pytest.raises(MemoryError):
        places.swap(parts, 0)
    assert not places.swaps


def test_a_bundle_keeps_every_layout():
    """Channels last, transposed, and with gaps, which are closed."""
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(4, 3, 2, 2, generator=generator).contiguous(memory_format=torch.channels_last),
               torch.randn(5, 7, generator=generator).t(), torch.randn(6, 6, generator=generator)[:, ::2],
               torch.randn(3, generator=generator).half()]  # fmt: skip
    before, strides = [tensor.clone() for tensor in tensors], [tensor.stride() for tensor in tensors]
    bundle = Bundle(tensors, CPU)
    bundle.place(bundle.flat.clone())
    assert all(torch.equal(tensor, was) for tensor, was in zip(tensors, before, strict=True))
    assert [tensor.stride() for tensor in tensors[:2]] == strides[:2]
    assert all(tensor.data_ptr() % 16 == 0 for tensor in tensors)


def test_a_bundle_in_a_file_is_the_file(tmp_path):
    tensor = torch.arange(1000.0)
    Bundle([tensor], CPU, tmp_path)
    (path,) = tmp_path.iterdir()
    assert torch.equal(torch.from_file(str(path), size=1000), torch.arange(1000.0))


def test_a_disk_that_is_full_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    with pytest.raises(MachineError, match="Weights cannot wait on disk: No space left on device") as caught:
        Bundle([torch.ones(4)], CPU, tmp_path)
    assert "TMPDIR" in caught.value.hint
