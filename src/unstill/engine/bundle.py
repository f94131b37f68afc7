"""Weights laid side by side on the host, pinned where that can be, so that they go to the device in one copy.

The tensors of a network are views: of the host's bytes, or of the device's. It does not know what they are weights of.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from torch import Tensor

from unstill.engine.ferry import pin, unpin
from unstill.errors import MachineError

ALIGNED = 256  # bytes; what hardware that copies blocks asks of an address


class Bundle:
    """Tensors that travel together."""

    def __init__(self, tensors: list[Tensor], device: torch.device, folder: Path | None = None) -> None:
        """Lay them side by side in host memory, pinned for a device, or in a file, which the host may put out of memory."""
        self.tensors = tensors
        for tensor in tensors:
            if not is_dense(tensor):
                tensor.data = tensor.data.contiguous()
        size = sum(round_up(tensor.numel() * tensor.element_size()) for tensor in tensors)
        self.flat = torch.empty(size, dtype=torch.uint8) if folder is None or not size else map_file(folder, size)
        before = [tensor.data for tensor in tensors]
        self.rest()
        for tensor, data in zip(tensors, before, strict=True):
            tensor.data.copy_(data)
        self.is_pinned = folder is None and size > 0 and pin(self.flat, device)

    def __del__(self) -> None:
        """Let the system have its pages back before they are freed."""
        if getattr(self, "is_pinned", False):
            unpin(self.flat)

    @property
    def size(self) -> int:
        """Bytes of it."""
        return self.flat.numel()

    def rest(self) -> None:
        """Have the tensors on the host."""
        self.place(self.flat)

    def go(self, device: torch.device) -> None:
        """Have the tensors on a device."""
        self.place(self.flat.to(device, non_blocking=True))

    def place(self, flat: Tensor) -> None:
        """Let tensors be views of bytes, each in its own layout."""
        at = 0
        for tensor in self.tensors:
            shape, stride, dtype = tensor.shape, tensor.stride(), tensor.dtype
            size = tensor.numel() * tensor.element_size()
            tensor.data = flat[at : at + size].view(dtype).as_strided(shape, stride)
            at += round_up(size)


def map_file(folder: Path, size: int) -> Tensor:
    """Give bytes that lie in a new file, all of which has its place on the disk."""
    try:
        with NamedTemporaryFile(dir=folder, delete=False) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a disk that is full is found here, not by a signal later
            return torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8)
    except OSError as error:
        raise MachineError(
            f"Weights cannot wait on disk: {error.strerror or error}", hint="TMPDIR names a folder with more room"
        ) from error


def is_dense(x: Tensor) -> bool:
    """Say whether numbers lie side by side, in whatever order."""
    return x.numel() == 1 + sum((many - 1) * stride for many, stride in zip(x.shape, x.stride(), strict=True))


def round_up(size: int) -> int:
    """Give the next aligned size."""
    return -(-size // ALIGNED) * ALIGNED
