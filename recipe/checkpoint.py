"""The state of a run in a few small files: averaged weights in half precision, and the optimizer's squares in eight bits.

The averaged weights are what is shipped, and what a run goes on from: the optimizer's first moments are made anew in a
few steps, its squares in some hundred, so those are kept, as logarithms. It does not know what is learnt.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

PART_BYTES = 15_000_000  # files are carried between machines in parts
FINEST = 8.0  # levels to a doubling: squares are kept to within 5 %


class Swapped:
    """Have other values in the parameters inside `with`."""

    def __init__(self, parameters: list[nn.Parameter], others: list[Tensor]) -> None:
        self.parameters, self.others = parameters, others

    def __enter__(self) -> None:
        self.kept = [p.detach().clone() for p in self.parameters]
        self._put(self.others)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._put(self.kept)

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for p, value in zip(self.parameters, values, strict=True):
            p.copy_(value)


def save(folder: Path, network: nn.Module, averaged: list[Tensor], optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write the averaged weights and the optimizer's squares, each file aside first."""
    names = [name for name, _ in network.named_parameters()]
    squares = [optimizer.state[p]["exp_avg_sq"] for p in network.parameters()]
    tensors = {name: value.half() for name, value in zip(names, averaged, strict=True)}
    tensors |= {f"square.{name}": to_bytes(value) for name, value in zip(names, squares, strict=True)}
    parts: list[dict[str, Tensor]] = [{}]
    for name, tensor in tensors.items():
        if sum(t.nbytes for t in parts[-1].values()) + tensor.nbytes > PART_BYTES:
            parts.append({})
        parts[-1][name] = tensor.cpu().contiguous()
    for number, part in enumerate(parts):
        aside = folder / f"part-{number}.safetensors.new"
        save_file(part, aside)
        aside.replace(folder / f"part-{number}.safetensors")
    (folder / "state.json").write_text(json.dumps({"step": step, "parts": len(parts)}))


def load(folder: Path, network: nn.Module, averaged: list[Tensor], optimizer: torch.optim.Optimizer) -> int:
    """Go on from the averaged weights; return the number of steps done."""
    state = json.loads((folder / "state.json").read_text())
    tensors = read(folder)
    with torch.no_grad():
        for (name, p), mean in zip(network.named_parameters(), averaged, strict=True):
            p.copy_(tensors[name].float())
            mean.copy_(p)
            square = from_bytes(tensors[f"square.{name}"]).to(p.device)
            # As if so many steps had been taken that corrections for the first ones no longer matter.
            steps = torch.tensor(1000.0, device=p.device if optimizer.defaults["fused"] else "cpu")
            optimizer.state[p] = {"step": steps, "exp_avg": torch.zeros_like(p), "exp_avg_sq": square}
    return int(state["step"])


def read(folder: Path) -> dict[str, Tensor]:
    """Read all parts of a folder."""
    count = json.loads((folder / "state.json").read_text())["parts"]
    return {
        name: tensor for number in range(count) for name, tensor in load_file(folder / f"part-{number}.safetensors").items()
    }


def to_bytes(squares: Tensor) -> Tensor:
    """Keep the logarithm of each square, relative to the largest."""
    levels = 255 + FINEST * (squares.clamp(min=1e-38).log2() - squares.max().clamp(min=1e-38).log2())
    packed = levels.clamp(0, 255).round().to(torch.uint8).flatten()
    top = squares.max().clamp(min=1e-38).reshape(1).float().view(torch.uint8)
    shape = torch.tensor([*squares.shape], dtype=torch.int32, device=squares.device).view(torch.uint8)
    return torch.cat([top, torch.tensor([squares.dim()], dtype=torch.uint8, device=squares.device), shape, packed])


def from_bytes(packed: Tensor) -> Tensor:
    """Return squares as they were kept."""
    dims = int(packed[4])
    shape = packed[5 : 5 + 4 * dims].clone().view(torch.int32).tolist()
    top = packed[:4].clone().view(torch.float32)
    squares: Tensor = top * ((packed[5 + 4 * dims :].float() - 255) / FINEST).exp2()
    return squares.reshape(shape)
