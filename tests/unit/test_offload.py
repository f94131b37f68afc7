"""engine/offload.py: one part on the device at a time, and the truth about which."""

import pytest
import torch
from torch import nn

from unstill.engine.offload import Places


class Part(nn.Module):
    """A part that notes where it is sent, and can refuse to go."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.refuses = False

    def to(self, device):
        if self.refuses:
            raise torch.OutOfMemoryError("no room")
        self.sent.append(str(device))
        return self


@pytest.fixture
def places():
    return Places(torch.device("meta"), offload=True)


def test_a_part_stays_until_another_needs_the_device(places):
    first, second = Part(), Part()
    for part in (first, first, second):
        with places.running(part):
            pass
    assert first.sent == ["meta", "cpu"]
    assert second.sent == ["meta"]


def test_a_move_that_fails_is_tried_again_the_next_time(places):
    part = Part()
    part.refuses = True
    with pytest.raises(torch.OutOfMemoryError), places.running(part):
        pass
    part.refuses = False
    with places.running(part):
        assert part.sent == ["meta"]


def test_without_offloading_nothing_moves():
    part = Part()
    with Places(torch.device("meta"), offload=False).running(part):
        assert part.sent == []
