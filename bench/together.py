"""Time a pass through the network with several clips in it, on one GPU: what each clip gains by the company.

    python bench/together.py --out rows.csv

Full-size random weights in fp16 and the fast engine, clips of several sizes; then pocket, whose network is small. A pass of
one clip is timed before and after those of several. `differs` is how far a clip of a shared pass is from the same one alone,
as a share of its size. It says nothing about quality.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src")]

from unstill.artifacts import Plan  # noqa: E402
from unstill.engine.fast_unet import FastUNet  # noqa: E402
from unstill.generate import foresee, generate  # noqa: E402
from unstill.model.config import UNetConfig  # noqa: E402
from unstill.model.unet import UNet  # noqa: E402
from unstill.models.pocket.engine import PocketEngine  # noqa: E402
from unstill.request import Request  # noqa: E402
from unstill.sample import draw, scale_pixels  # noqa: E402

PICTURE = str(HERE.parent / "examples" / "harbour.jpg")
SHAPES = [(25, 576, 1024, 2), (14, 576, 1024, 2), (25, 576, 1024, 1), (25, 320, 576, 2), (14, 320, 576, 2), (14, 256, 256, 2)]
Pass = Callable[[int], Tensor]  # so many clips go in; the first comes out


@dataclass(frozen=True)
class Row:
    """A pass of so many clips."""

    scenario: str
    clips: int
    seconds: list[float]  # for one clip of it
    peak_bytes: int
    note: str


def main() -> None:
    """Time what is asked for, print it and keep rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a rehearsal on any device, with a small network")
    parser.add_argument("--run", default="together", help="name of this run in bench/results.csv")
    parser.add_argument("--commit", default="")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    for part in asked.only:
        alone = 0.0
        for row in PARTS[part](asked):
            middle = statistics.median(row.seconds)
            alone = middle if row.clips == 1 else alone
            print(f"{row.scenario:32} {row.clips} clips {1000 * middle:9.2f} ms a clip, {alone / middle:5.3f} times one alone"
                  f"  {row.peak_bytes / 1e9:6.2f} GB  {row.note}", flush=True)  # fmt: skip
            if asked.out:
                append(asked, row)


@torch.no_grad()
def time_svd(asked: argparse.Namespace) -> Iterator[Row]:
    """Time passes of the full-size network."""
    device, dtype = torch.device(asked.device), torch.float32 if asked.small else torch.float16
    network = make_network(device, dtype, small=asked.small)
    width = network.table.config.cross_attention_dim
    for frames, height, across, branches in [(2, 64, 64, 2)] if asked.small else SHAPES:
        generator = torch.Generator().manual_seed(1)
        most = 2 if frames * height * across > 10_000_000 else 4
        x = torch.randn(most, branches, frames, 8, height // 8, across // 8, generator=generator).to(device, dtype)
        context = torch.randn(most, branches, 1, width, generator=generator).to(device, dtype)

        def run(clips: int, x: Tensor = x, context: Tensor = context, branches: int = branches) -> Tensor:
            ids = torch.tensor([[6.0, 127.0, 0.02]], device=device, dtype=dtype).expand(clips * branches, -1)
            made: Tensor = network(x[:clips].flatten(0, 1), torch.tensor(1.0), context[:clips].flatten(0, 1), ids)
            return made[:branches]

        guided = "" if branches == 2 else ", no guidance"
        yield from measure(f"{frames} frames of {across}x{height}{guided}", run, [1, 2, *([4] if most == 4 else []), 1], device)


def make_network(device: torch.device, dtype: torch.dtype, *, small: bool) -> FastUNet:
    """Fold random weights on which activations keep their scale."""
    config = UNetConfig(block_out_channels=(32, 64, 64, 64), num_attention_heads=(2, 4, 4, 4)) if small else UNetConfig()
    with torch.device("meta"):
        unet = UNet(config)
    unet = unet.to(dtype).to_empty(device=device).requires_grad_(False).eval()
    generator = torch.Generator(device).manual_seed(0)
    for name, parameter in unet.named_parameters():
        parameter.normal_(0.0, 0.1 if parameter.ndim == 1 else 1 / math.sqrt(parameter[0].numel()), generator=generator)
        if "norm" in name and name.endswith("weight"):
            parameter += 1
    return FastUNet(unet.cpu()).to(device)


@torch.no_grad()
def time_pocket(asked: argparse.Namespace) -> Iterator[Row]:
    """Time passes of pocket's network, and what the stages of a whole clip take."""
    request = Request.from_mapping({"model": "pocket", "seed": 1, "device": asked.device, "look": False})
    image, plan = foresee(request, PICTURE)
    engine = PocketEngine(plan)
    given = hear_network(engine, plan, scale_pixels(image.canvas_HWC), engine.embed(image.source_HWC))
    x, time_, *told = given

    def run(clips: int) -> Tensor:
        several = [part.repeat(clips, *[1] * (part.ndim - 1)) for part in (x, *told)]
        made: Tensor = engine.network.unet(several[0], time_, *several[1:])
        return made[: len(x)]

    yield from measure("pocket", run, [1, 2, 4, 8, 1], engine.device)
    for _ in range(3):
        clip = generate(request, PICTURE, load=lambda _: engine)
        print("pocket, a clip:", clip.report.stages_s, flush=True)


def hear_network(engine: PocketEngine, plan: Plan, pixels_BCHW: Tensor, embedding: Tensor) -> list[Tensor]:
    """Give what the network is told in a step."""
    told: list[Tensor] = []
    note = engine.network.unet.register_forward_pre_hook(lambda network, given: told.extend(given))
    denoise = engine.denoiser(embedding, engine.encode(pixels_BCHW), plan)
    denoise(draw(plan, engine).latents_BFCHW.to(engine.device), torch.tensor(10.0))
    note.remove()
    return told


def measure(scenario: str, run: Pass, counts: list[int], device: torch.device) -> Iterator[Row]:
    """Warm up twice, then time, for every number of clips."""
    alone = run(1)
    for clips in counts:
        made = run(clips)
        differs = float((made.float() - alone.float()).norm() / alone.float().norm())
        synchronise(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = []
        for _ in range(11):
            start = time.perf_counter()
            run(clips)
            synchronise(device)
            seconds.append((time.perf_counter() - start) / clips)
        peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
        yield Row(scenario, clips, seconds[1:], peak, f"differs {differs:.1e}")


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def append(asked: argparse.Namespace, row: Row) -> None:
    """Write one row of bench/results.csv."""
    ask = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    commit = asked.commit or subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or "-"
    device = torch.cuda.get_device_name() if asked.device.startswith("cuda") else "CPU"
    fifths = statistics.quantiles(row.seconds, n=5)
    seconds = [fifths[0], statistics.median(row.seconds), fifths[3]]
    told = [asked.run, datetime.datetime.now(datetime.UTC).date().isoformat(), commit, device, f"torch {torch.__version__}"]
    told += [
        "clips-together",
        f"{row.clips} in a pass",
        *(f"{each:.5f}" for each in seconds),
        str(row.peak_bytes or ""),
        "",
        "",
    ]
    with asked.out.open("a", newline="") as file:
        csv.writer(file).writerow([*told, f"{row.scenario}: a step, for each clip; {row.note}"])


PARTS = {"svd": time_svd, "pocket": time_pocket}

if __name__ == "__main__":
    main()
