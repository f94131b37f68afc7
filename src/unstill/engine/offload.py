"""Which part of a model is on the device while it runs. It does not know what the parts are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from unstill.engine.memory_errors import is_memory


class Places:
    """Move parts to the device for as long as they run, if asked to offload.

    A part stays on the device until another one needs to run: the UNet moves once for all steps.
    """

    def __init__(self, device: torch.device, *, offload: bool) -> None:
        self.device, self.offload = device, offload
        self._there: nn.Module | None = None

    @contextmanager
    def running(self, part: nn.Module) -> Iterator[None]:
        """Have the part on the device."""
        if self.offload and self._there is not part:
            if self._there is not None:
                self._there.to("cpu")
                self._there = None
            part.to(self.device)
            self._there = part  # only now: a move that fails leaves nothing on the device
        yield

    def clear(self, parts: list[nn.Module]) -> None:
        """Begin to offload: nothing stays on the device but what runs next."""
        self.offload, self._there = True, None
        for part in parts:
            part.to("cpu")

    def fill(self, parts: list[nn.Module]) -> None:
        """Have all parts on the device again, for good; if they do not fit, go on taking turns."""
        self.offload, self._there = False, None
        try:
            for part in parts:
                part.to(self.device)
        except (RuntimeError, MemoryError) as error:
            self.clear(parts)
            if not is_memory(error):
                raise
