"""Decode a clip whose activations do not fit on the device: most frames wait in pinned host memory while few are worked on.

The result is that of all frames at once. Every activation crosses twice and comes back three times, while others are
worked on. It does not know what a plan is.
"""

from __future__ import annotations

from threading import Thread

import torch
from torch import Tensor

from unstill.engine.fast_decoder import BAND, FastDecoder, HalfOverTime, PixelLayer, Shape
from unstill.engine.ferry import Copies, Ferry, pin, unpin

BANDS = 2  # a band has this part of the values that may be at work at once: four of them are


class Lot:
    """Places for frames in pinned host memory, made ready by a thread: the system takes a second for what clips need."""

    def __init__(self, parked: int, values: int, dtype: torch.dtype, device: torch.device) -> None:
        self.wanted = (parked, values, dtype)
        self._slots: list[Tensor] = []
        self._failed: list[Exception] = []
        # The thread knows nothing of this object, which may be let go of while it runs.
        given = (self.wanted, device, self._slots, self._failed)
        self._thread = Thread(target=make_slots, args=given, daemon=True)
        self._thread.start()

    def wait(self) -> list[Tensor]:
        """Give the places when they are ready."""
        self._thread.join()
        if self._failed:
            raise self._failed[0]
        return self._slots

    def __del__(self) -> None:
        """Let the system have its pages back before they are freed."""
        self._thread.join()
        for slot in self._slots:
            unpin(slot)


def make_slots(
    wanted: tuple[int, int, torch.dtype], device: torch.device, slots: list[Tensor], failed: list[Exception]
) -> None:
    """Pin one place after the other, so that what else goes to the device need not wait long."""
    parked, values, dtype = wanted
    try:
        for _ in range(parked):
            slot = torch.empty(values, dtype=dtype)
            pin(slot, device)
            slots.append(slot)
    except Exception as error:  # noqa: BLE001 — raised where the places are asked for
        failed.append(error)


def decode_parked(decoder: FastDecoder, z_FCHW: Tensor, values: int, lot: Lot) -> Tensor:
    """Decode unscaled latents into pixels [F, 3, H, W], with as many frames in host memory as there are places."""
    z_FHWC = z_FCHW.permute(0, 2, 3, 1).contiguous()
    rows, columns, channels = z_FHWC.shape[1:]
    slots = Slots(len(z_FHWC), decoder.find_largest(rows, columns, channels), lot, z_FHWC)
    try:
        ferry, shape = Ferry(z_FHWC.device), (rows, columns, channels)
        for frame, slot in zip(z_FHWC, slots.each, strict=True):
            slot[: frame.numel()].copy_(frame.flatten())
        for layers, block in decoder.passes:
            half = HalfOverTime(block)
            shape = slots.run_on_frames(ferry, layers, shape, half)
            slots.run_over_time(ferry, half, shape, values // BANDS)
        return decoder.finish(slots.show(ferry, decoder.out, shape))
    finally:
        slots.wait()


class Slots:
    """A place for every frame, of the largest activation's size: on the device, or in host memory."""

    def __init__(self, frames: int, values: int, lot: Lot, like: Tensor) -> None:
        there = lot.wait()
        self.here = like.new_empty(frames - len(there), values)
        self.each = [*self.here.unbind(), *there]
        self.device = like.device

    def wait(self) -> None:
        """Return when no copy is under way: host memory may then be used again."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _take_frame(self, number: int, shape: Shape) -> tuple[Tensor, Copies]:
        lies = self.each[number][: shape[0] * shape[1] * shape[2]].view(1, *shape)
        if lies.device == self.device:
            return lies, []
        x_NHWC = lies.new_empty(lies.shape, device=self.device)
        return x_NHWC, [(x_NHWC, lies)]

    def run_on_frames(self, ferry: Ferry, layers: list[PixelLayer], shape: Shape, half: HalfOverTime) -> Shape:
        """Run layers that look at one frame; what they make is looked at for the next norm while it is here."""
        before = shape
        for layer in layers:
            shape = layer.grow(shape)

        def work(_: int, x_NHWC: Tensor) -> Tensor:
            for layer in layers:
                x_NHWC = layer(x_NHWC)
            half.first.add(x_NHWC.flatten(1, 2)[:, None])
            return x_NHWC.flatten(1)

        def give(number: int) -> list[Tensor]:
            return [self.each[number][: shape[0] * shape[1] * shape[2]]]

        ferry.run(len(self.each), lambda number: self._take_frame(number, before), work, give)
        return shape

    def run_over_time(self, ferry: Ferry, half: HalfOverTime, shape: Shape, values: int) -> None:
        """Run the second half of a video block, band by band."""
        pixels, width = shape[0] * shape[1], shape[2]
        frames_FPC = [slot[: pixels * width].view(pixels, width) for slot in self.each]
        step = max(1, values // (len(self.each) * width * BAND)) * BAND
        bands = [slice(start, min(start + step, pixels)) for start in range(0, pixels, step)]

        def take(number: int) -> tuple[Tensor, Copies]:
            parts = [frame[bands[number]] for frame in frames_FPC]
            x_FPC = parts[0].new_empty(len(parts), *parts[0].shape, device=self.device)
            return x_FPC, list(zip(x_FPC, parts, strict=True))

        def look(_: int, x_FPC: Tensor) -> None:
            half.look(x_FPC)

        def add(_: int, x_FPC: Tensor) -> Tensor:
            half.add(x_FPC)
            return x_FPC

        ferry.run(len(bands), take, look)
        ferry.run(len(bands), take, add, lambda number: [frame[bands[number]] for frame in frames_FPC])

    def show(self, ferry: Ferry, layers: list[PixelLayer], shape: Shape) -> Tensor:
        """Run the last layers, into pixels on the device."""
        made: list[Tensor] = []

        def work(_: int, x_NHWC: Tensor) -> None:
            for layer in layers:
                x_NHWC = layer(x_NHWC)
            made.append(x_NHWC)

        ferry.run(len(self.each), lambda number: self._take_frame(number, shape), work)
        return torch.cat(made)
