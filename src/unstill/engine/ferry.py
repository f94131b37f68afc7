"""Work on things that wait in host memory: while one is worked on, the next one comes and the last one leaves.

Copies run on streams of their own. At most two things are coming or here, and two made or leaving. It does not know
what things are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from threading import Thread
from typing import Any

import torch
from torch import Tensor

Copies = list[tuple[Tensor, Tensor]]  # where to, and what
Take = Callable[[int], tuple[Tensor, Copies]]
Treat = Callable[[int, Tensor], Tensor | None]
Give = Callable[[int], list[Tensor]]


class Ferry:
    """Streams to and from the device; on a CPU things are where they are worked on."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.main = torch.cuda.current_stream(device) if device.type == "cuda" else None
        self.inbound, self.outbound = (new_stream(device) for _ in range(2))

    def run(self, count: int, take: Take, work: Treat, give: Give | None = None) -> None:
        """Do so many pieces of work.

        `take` gives a tensor on the device and the copies that fill it, none if it is there; `give` says where
        the parts of what was made go.
        """
        self._cross(self.outbound, self.inbound)  # what was made before may be what is taken now
        coming: Tensor | None = self._fetch(take, 0)
        leaving: Tensor | None = None
        for number in range(count):
            assert coming is not None
            self._cross(self.inbound, self.main)
            here, coming = coming, self._fetch(take, number + 1) if number + 1 < count else None
            made = work(number, here)
            del here
            if made is None or give is None:
                continue
            self._cross(self.outbound, self.main)  # the last one has left, its memory may be used again
            self._send(made, give(number))
            leaving = made
        self._cross(self.outbound, self.main)
        del leaving

    def _fetch(self, take: Take, number: int) -> Tensor:
        coming, copies = take(number)  # its memory comes from the main stream, and may just have been used there
        self._cross(self.main, self.inbound)
        with torch.cuda.stream(self.inbound):
            for to, source in copies:
                to.copy_(source, non_blocking=True)
        return coming

    def _send(self, made: Tensor, places: list[Tensor]) -> None:
        self._cross(self.main, self.outbound)
        with torch.cuda.stream(self.outbound):
            for place, part in zip(places, made, strict=True):
                place.copy_(part, non_blocking=True)

    @staticmethod
    def _cross(done: torch.cuda.Stream | None, then: torch.cuda.Stream | None) -> None:
        """Let one stream wait for what another was given so far."""
        if done is not None and then is not None:
            then.wait_stream(done)


def new_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Give a stream for copies, where there are streams."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]


def pin(x: Tensor, device: torch.device) -> bool:
    """Keep a tensor of the host where it is, so that copies need no help of the processor; say whether it worked."""
    if device.type != "cuda":
        return False
    done: list[bool] = []
    # In a thread of its own: CUDA keeps a failure for the thread that met it, and the next kernel there would raise it.
    asker = Thread(target=lambda: done.append(register(x, device)))
    asker.start()
    asker.join()
    is_pinned = done == [True]
    if not is_pinned:
        warnings.warn("host memory could not be pinned: copies to the GPU take several times as long", stacklevel=2)
    return is_pinned


def register(x: Tensor, device: torch.device) -> bool:
    """Ask CUDA to keep a tensor's pages."""
    with torch.cuda.device(device):
        runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        return int(runtime.cudaHostRegister(x.data_ptr(), x.numel() * x.element_size(), 0)) == 0


def unpin(x: Tensor) -> None:
    """Let go of it again, before its memory is freed."""
    if torch.cuda.is_available() and x.is_pinned():
        runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        runtime.cudaHostUnregister(x.data_ptr())
