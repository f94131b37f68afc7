"""Which parts of a model are on the device, and for how long. It does not know what the parts are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from unstill.engine.bundle import Bundle
from unstill.engine.memory_errors import is_memory
from unstill.engine.stream import WeightStream

Units = list[nn.Module]


class Movable:
    """A network that is on the device while it runs, whole or block by block."""

    def __init__(self, network: nn.Module, blocks: Units, device: torch.device, folder: Path | None = None) -> None:
        """Lay its weights out on the host, or in files, where they stay; those in no block go to the device whole."""
        self.blocks = blocks
        groups = [list_tensors(block) for block in blocks]
        inside = {id(tensor) for group in groups for tensor in group}
        self.bundles = [Bundle(group, device, folder) for group in groups]
        self.others = Bundle([tensor for tensor in list_tensors(network) if id(tensor) not in inside], device, folder)
        self._stream: WeightStream | None = None

    def go(self, device: torch.device, window_bytes: int) -> None:
        """Have it on the device."""
        self.others.go(device)
        if window_bytes and self.blocks:
            largest = max(bundle.size for bundle in self.bundles)
            self._stream = WeightStream(self.blocks, self.bundles, device, max(window_bytes, largest))
            return
        for bundle in self.bundles:
            bundle.go(device)

    def rest(self) -> None:
        """Have it on the host alone."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        for bundle in (self.others, *self.bundles):
            bundle.rest()


def list_tensors(network: nn.Module) -> list[Tensor]:
    """List what a network is made of."""
    return [*network.parameters(), *network.buffers()]


def move(network: nn.Module, device: torch.device) -> None:
    """Have a network on a device, in the tensors that it has: what is noted of them stays true."""
    for tensor in list_tensors(network):
        tensor.data = tensor.data.to(device)


def find_folder() -> str | None:
    """Give the folder for files that may be large: the temporary one is often in memory itself."""
    return os.environ.get("TMPDIR") or next((name for name in ("/var/tmp",) if Path(name).is_dir()), None)


class Places:
    """Have parts on the device for good; or for as long as they run, if they swap.

    A part stays on the device until another one needs to run: the UNet moves once for all steps.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._parts: dict[int, Movable] | None = None  # while parts swap
        self._there: int | None = None
        self._window_bytes = 0

    @property
    def swaps(self) -> bool:
        """Say whether parts take turns."""
        return self._parts is not None

    @contextmanager
    def running(self, network: nn.Module) -> Iterator[None]:
        """Have the network on the device."""
        if self._parts is not None and self._there != id(network):
            self.clear()
            part = self._parts[id(network)]
            try:
                part.go(self.device, self._window_bytes)
            except BaseException:
                part.rest()  # a move that fails leaves nothing on the device
                raise
            self._there = id(network)
        yield

    def clear(self) -> None:
        """Have nothing on the device, if parts swap."""
        if self._parts is not None and self._there is not None:
            self._parts[self._there].rest()
            self._there = None

    def swap(self, networks: dict[nn.Module, Units], window_bytes: int, *, on_disk: bool = False) -> None:
        """Let networks take turns from now on, those with blocks in a window if there is one."""
        self.clear()
        self._window_bytes = window_bytes
        if self._parts is not None:
            return
        with TemporaryDirectory(prefix="unstill-weights-", dir=find_folder(), ignore_cleanup_errors=True) as name:
            # Files that were mapped stay until they are let go of, though nothing names them any more.
            folder = Path(name) if on_disk else None
            try:
                for network in networks:
                    move(network, torch.device("cpu"))
                parts = {id(network): Movable(network, blocks, self.device, folder) for network, blocks in networks.items()}
            except BaseException:
                for network in networks:
                    move(network, self.device)
                raise
        self._parts = parts

    def stay(self, networks: dict[nn.Module, Units]) -> None:
        """Have all networks on the device for good; if they do not fit, go on taking turns."""
        self.clear()
        try:
            for network in networks:
                move(network, self.device)
        except (RuntimeError, MemoryError) as error:
            for part in (self._parts or {}).values():
                part.rest()
            if self._parts is None or not is_memory(error):
                raise
        else:
            self._parts = None
