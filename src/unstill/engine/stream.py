"""Weights of a network that come from host memory block by block, the next ones while one runs.

Blocks take places in a window of device memory, one after the other, round and round; where each lies never changes, so the
network's tensors are views that are made once. The heavy blocks of the low levels come while the light ones of the high levels,
which take longer, run. It does not know what the blocks compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from unstill.engine.bundle import Bundle
from unstill.engine.ferry import new_stream


@dataclass(frozen=True)
class Slot:
    """Where a block's weights lie in the window, and after which block has run they may be written there."""

    start: int
    after: int  # how many blocks before this one in the round; the block itself one round earlier is the whole round
    is_alone: bool  # no other block is ever there, so it comes once


def lay_out(sizes: list[int], window: int) -> list[Slot]:
    """Give every block of a round its place, one behind the other, from the start again where the window ends."""
    if max(sizes) > window:
        raise ValueError(f"a block of {max(sizes)} bytes does not fit into a window of {window}")
    starts, at = [], 0
    for size in sizes:
        at = 0 if at + size > window else at
        starts.append(at)
        at += size
    rounds, count = [], len(sizes)
    for number in range(count):
        free = count  # at the latest its own last run
        for back in range(1, count):
            other = (number - back) % count
            if starts[other] < starts[number] + sizes[number] and starts[number] < starts[other] + sizes[other]:
                free = back
                break
        rounds.append(free)
    # Copies leave in order, so none may be allowed before the one ahead of it.
    latest = [number - back for number, back in enumerate(rounds)]
    for _ in range(2):
        for number in range(count):
            latest[number] = max(latest[number], latest[number - 1] - (count if number == 0 else 0))
    return [Slot(starts[number], number - latest[number], rounds[number] == count) for number in range(count)]


class WeightStream:
    """Run a network whose blocks' weights wait in host memory."""

    def __init__(self, blocks: list[nn.Module], bundles: list[Bundle], device: torch.device, window_bytes: int) -> None:
        """Take the window, and begin to fill it."""
        self.blocks, self.bundles, self.device = blocks, bundles, device
        self.slots = lay_out([bundle.size for bundle in bundles], window_bytes)
        self._window = torch.empty(window_bytes, dtype=torch.uint8, device=device)
        self._copying = new_stream(device)
        self._places = [self._window[slot.start : slot.start + bundle.size] for slot, bundle in
                        zip(self.slots, bundles, strict=True)]  # fmt: skip
        for bundle, place in zip(bundles, self._places, strict=True):
            bundle.place(place)
        self._arrived: list[Any] = [None if self._copying is None else torch.cuda.Event() for _ in blocks]  # type: ignore[no-untyped-call]
        self._done = self._asked = 0  # blocks that have run, and that were sent for, in all rounds
        self._come: set[int] = set()
        self._hooks: list[Any] = []
        for number, block in enumerate(blocks):
            self._hooks.append(block.register_forward_pre_hook(self._make_hook(number, before=True)))
            self._hooks.append(block.register_forward_hook(self._make_hook(number, before=False)))
        self._ask()

    def close(self) -> None:
        """Have the weights on the host alone."""
        if self._copying is not None:
            torch.cuda.synchronize(self.device)
        for hook in self._hooks:
            hook.remove()
        for bundle in self.bundles:
            bundle.rest()

    def _make_hook(self, number: int, *, before: bool) -> Any:
        def enter(*_: object) -> None:
            if self._done % len(self.blocks) != number:  # a run that broke off: begin the round anew
                self._restart(number)
            if self._copying is not None:
                torch.cuda.current_stream(self.device).wait_event(self._arrived[number])

        def leave(*_: object) -> None:
            self._done += 1
            self._ask()

        return enter if before else leave

    def _restart(self, number: int) -> None:
        """Send for everything again from this block on."""
        if self._copying is not None:
            torch.cuda.synchronize(self.device)
        count = len(self.blocks)
        self._done = self._asked = self._done // count * count + count + number
        self._ask()

    def _ask(self) -> None:
        """Send for every block whose place is free."""
        count = len(self.blocks)
        while self._asked < self._done + count:
            number = self._asked % count
            if self._asked - self.slots[number].after >= self._done:
                return  # what lies there has not run yet
            self._asked += 1
            if self.slots[number].is_alone and number in self._come:
                continue
            self._come.add(number)
            place, flat = self._places[number], self.bundles[number].flat
            if self._copying is None:
                place.copy_(flat)
            else:
                self._copying.wait_stream(torch.cuda.current_stream(self.device))
                with torch.cuda.stream(self._copying):
                    place.copy_(flat, non_blocking=True)
                    self._arrived[number].record()
