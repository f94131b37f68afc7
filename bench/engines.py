"""Time the engines on one GPU in one process: a step of the UNet, and the decoding of a clip, at full size.

    python bench/engines.py --out rows.csv --profile profile.txt

Random weights on which activations keep their scale. Every engine has the same ones; errors are against float32, as a share
of its size. Times of one call may be compared, others may not. It says nothing about quality: random weights draw noise.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import gc
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]

from full_unet_parity import make_input, make_ours, make_theirs  # noqa: E402

from unstill.engine.decoder import Bench, decode_by_layers  # noqa: E402
from unstill.engine.fast_decoder import FastDecoder  # noqa: E402
from unstill.engine.fast_unet import FastUNet  # noqa: E402
from unstill.model.config import VAEConfig  # noqa: E402
from unstill.model.vae import VAE  # noqa: E402

HALF = torch.float16
Run = Callable[[], Tensor]


@dataclass
class Row:
    """One engine in one scenario."""

    scenario: str
    engine: str
    seconds: list[float]
    peak_bytes: int
    error: float
    note: str = ""


def main() -> None:
    """Run what is asked, print a table and append the rows."""
    asked = read_arguments()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 is the yardstick
    torch.backends.cudnn.benchmark = False
    scenarios = {"unet": time_unet, "decode": time_decoder}
    rows = []
    for name in asked.only:
        for row in scenarios[name](asked):
            rows.append(row)
            middle = statistics.median(row.seconds)
            base = next(other for other in rows if other.scenario == row.scenario)
            print(
                f"{row.scenario:9} {row.engine:24} {1000 * middle:8.1f} ms  {statistics.median(base.seconds) / middle:5.2f}x"
                f"  {row.peak_bytes / 1e9:6.2f} GB  error {row.error:.2e} ({row.error / base.error:.2f}x)  {row.note}",
                flush=True,
            )
    if asked.out:
        append(asked, rows)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--rows", type=int, default=72, help="of latents")
    parser.add_argument("--columns", type=int, default=128)
    parser.add_argument("--clips", type=int, default=2, help="branches of guidance")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 2, 5, 8, 25])
    parser.add_argument("--only", nargs="+", choices=("unet", "decode"), default=["unet", "decode"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parked", action="store_true", help="time decoding from host memory too: half a minute")
    parser.add_argument("--compile", action="store_true", help="time diffusers compiled too: minutes")
    parser.add_argument("--run", default="engines", help="name of this run in bench/results.csv")
    parser.add_argument("--commit", default="")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--profile", type=Path, help="write where the fast engine's time goes")
    return parser.parse_args()


@torch.no_grad()
def time_unet(asked: argparse.Namespace) -> Iterator[Row]:
    """Time one step, all branches of guidance."""
    device = torch.device(asked.device)
    ours = make_ours(device, HALF, asked.seed)
    x, told = make_input(asked, device, HALF)
    theirs = make_theirs(ours)
    exact_unet = make_ours(device, HALF, asked.seed).float()
    exact = exact_unet(x.float(), *(part.float() for part in told))
    del exact_unet
    yield measure("unet-step", "diffusers-eager", lambda: theirs(x, *told).sample, exact, asked)
    if asked.compile:
        compiled = torch.compile(theirs)
        start = time.perf_counter()
        compiled(x, *told)
        torch.cuda.synchronize()
        waited = f"after {time.perf_counter() - start:.0f} s of compiling"
        yield measure("unet-step", "diffusers-compile", lambda: compiled(x, *told).sample, exact, asked, waited)
        torch._dynamo.reset()
    yield measure("unet-step", "reference", lambda: ours(x, *told), exact, asked)
    weights = ours.cpu()
    fast = FastUNet(weights)
    fast = fast.to(device)
    clock = torch.tensor(1.0)
    yield measure("unet-step", "fast", lambda: fast(x, clock, *told[1:]), exact, asked)
    profile(asked, "a step of the UNet", lambda: fast(x, clock, *told[1:]))


@torch.no_grad()
def time_decoder(asked: argparse.Namespace) -> Iterator[Row]:
    """Time the decoding of all frames of one clip."""
    device = torch.device(asked.device)
    vae = make_vae(device, asked.seed)
    generator = torch.Generator().manual_seed(asked.seed + 2)
    z = torch.randn(asked.frames, 4, asked.rows, asked.columns, generator=generator).to(device, HALF)
    frame = VAEConfig().block_out_channels[0] * asked.rows * asked.columns * 64
    wide = make_vae(device, asked.seed).float()
    exact = decode_by_layers(wide.decoder, z.float(), Bench(frame, device, device))
    del wide
    theirs = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=(128, 256, 512, 512), down_block_types=["DownEncoderBlock2D"] * 4, layers_per_block=2
    ).to(device, HALF)
    theirs.load_state_dict(vae.state_dict())
    yield measure("decode", "diffusers-eager", lambda: theirs.decode(z, num_frames=len(z)).sample, exact, asked)
    theirs.cpu()
    for chunk in asked.chunks[:2]:
        bench = Bench(chunk * frame, device, device)
        yield measure("decode", "reference", lambda bench=bench: decode_by_layers(vae.decoder, z, bench), exact, asked,
                      f"layer by layer, {chunk} at a time")  # fmt: skip
    if asked.parked:
        parked = Bench(frame, device, torch.device("cpu"))
        once = argparse.Namespace(**{**vars(asked), "repeats": 1})
        yield measure("decode", "reference-parked", lambda: decode_by_layers(vae.decoder, z, parked), exact.cpu(), once)
    fast = FastDecoder(vae.decoder.cpu()).to(device)
    for chunk in asked.chunks:
        yield measure("decode", "fast", lambda chunk=chunk: fast(z, chunk * frame), exact, asked, f"{chunk} at a time")
    whole = fast(z, len(z) * frame)
    for chunk in asked.chunks:
        print(
            f"decoding {chunk} at a time against all at once: {float((fast(z, chunk * frame) - whole).abs().max()):.1e} at most"
        )
    profile(asked, "decoding", lambda: fast(z, asked.chunks[-1] * frame))


def make_vae(device: torch.device, seed: int) -> VAE:
    """Build a VAE on which activations keep their scale."""
    with torch.device("meta"):
        vae = VAE(VAEConfig())
    vae = vae.to(HALF).to_empty(device=device).requires_grad_(False)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in vae.named_parameters():
        scale = 0.1 if parameter.ndim == 1 else 1 / math.sqrt(parameter[0].numel())
        parameter.normal_(0.0, scale, generator=generator)
        if "norm" in name and name.endswith("weight"):
            parameter += 1
    return vae.eval()


def measure(scenario: str, engine: str, run: Run, exact: Tensor, asked: argparse.Namespace, note: str = "") -> Row:
    """Warm up twice, then time."""
    made = run()
    error = float((made.float() - exact).norm() / exact.norm())
    del made
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    seconds = []
    for _ in range(asked.repeats + (asked.repeats > 1)):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated()
    note = (note + "; " if note else "") + f"{(peak - held) / 1e9:.2f} GB above what was held"
    return Row(scenario, engine, seconds[asked.repeats > 1 :], peak, error, note)


def profile(asked: argparse.Namespace, title: str, run: Run) -> None:
    """Append where the time goes, kernel by kernel."""
    if not asked.profile:
        return
    run()
    torch.cuda.synchronize()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]
    ) as found:
        run()
        torch.cuda.synchronize()
    events = sorted(
        (event for event in found.key_averages() if event.self_device_time_total > 0 and event.device_type.name == "CUDA"),
        key=lambda event: -event.self_device_time_total,
    )
    total = sum(event.self_device_time_total for event in events)
    with asked.profile.open("a") as file:
        file.write(f"{title}: {total / 1000:.1f} ms in kernels\n")
        for event in events[:40]:
            file.write(f"{event.self_device_time_total / 1000:9.2f} ms {event.count:6} x  {event.key[:150]}\n")


def append(asked: argparse.Namespace, rows: list[Row]) -> None:
    """Write rows of bench/results.csv."""
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}"
    what = f"{asked.frames} frames of {asked.columns * 8}x{asked.rows * 8}, {asked.clips} branches, fp16, random weights"
    with asked.out.open("a", newline="") as file:
        writer = csv.writer(file)
        for row in rows:
            low, middle, high = (f"{torch.tensor(row.seconds).quantile(part):.4f}" for part in (0.2, 0.5, 0.8))
            note = "; ".join(part for part in (what, row.note) if part)
            told = [asked.run, datetime.date.today(), asked.commit, torch.cuda.get_device_name(), versions]
            writer.writerow([*told, row.scenario, row.engine, low, middle, high, row.peak_bytes, "", f"{row.error:.3e}", note])


if __name__ == "__main__":
    main()
