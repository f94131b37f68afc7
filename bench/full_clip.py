"""Run whole clips at full size, with random weights, in diffusers, our reference and our fast engine.

    python bench/full_clip.py --folder /tmp/svd-random --steps 1 5 25 --out rows.csv

Writes a random full-size model into the folder once (4.5 GB in fp16). Prints a table of times, peaks, and of how far latents
and frames are from the float32 reference's after so many steps. Times of one call may be compared, others may not. It says
nothing about quality: random weights draw noise.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "src")]


@dataclass(frozen=True, eq=False)
class Made:
    """What a run gave."""

    latents_FCHW: Tensor
    frames_FCHW: Tensor


Run = Callable[[int], Made]  # so many steps


def main() -> None:
    """Make the model, run each engine, print and keep rows."""
    asked = read_arguments()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 is the yardstick
    if not (asked.folder / "model_index.json").exists():
        write_full_size(asked.folder)
    picture = Image.open(HERE.parent / "examples" / "harbour.jpg").convert("RGB").resize((asked.width, asked.height))
    start = make_ours(asked, picture, "fp32", "reference")
    exact = {steps: start(steps) for steps in asked.steps}
    del start
    base: dict[int, float] = {}
    for engine in asked.engines:
        run = make_diffusers(asked, picture) if engine == "diffusers" else make_ours(asked, picture, "fp16", engine)
        for steps in asked.steps:
            made, seconds, peak = measure(asked, lambda steps=steps, run=run: run(steps))
            errors = [far(getattr(made, name), getattr(exact[steps], name)) for name in vars(made)]
            middle = statistics.median(seconds)
            faster = base.setdefault(steps, middle) / middle
            print(f"{engine:10} {steps:3} steps {middle:8.2f} s {faster:5.2f}x {peak / 1e9:6.2f} GB  "
                  f"latents {errors[0]:.3e}  frames {errors[1]:.3e}", flush=True)  # fmt: skip
            if asked.out:
                append(asked, engine, steps, seconds, peak, errors)
        del run


def far(made: Tensor, exact: Tensor) -> float:
    """Give the error, as a share of the exact's size."""
    return float((made.double() - exact.double()).norm() / exact.double().norm())


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=576)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--chunk", type=int, default=None, help="frames that ours decode at a time")
    parser.add_argument("--run", default="full-clip", help="name of this run in bench/results.csv")
    parser.add_argument("--commit", default="")
    parser.add_argument("--steps", type=int, nargs="+", default=[5])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engines", nargs="+", choices=("diffusers", "reference", "fast"), default=["diffusers", "fast"])
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def write_full_size(folder: Path) -> None:
    """Write random weights of the published size, as fp16 files in the diffusers layout."""
    import miniature

    miniature.UNET.update(
        addition_time_embed_dim=256, block_out_channels=[320, 640, 1280, 1280], cross_attention_dim=1024,
        num_attention_heads=[5, 10, 20, 20], projection_class_embeddings_input_dim=768, sample_size=96,
    )  # fmt: skip
    miniature.VAE.update(block_out_channels=[128, 256, 512, 512], sample_size=768)
    miniature.CLIP.update(
        hidden_size=1280, intermediate_size=5120, num_attention_heads=16, num_hidden_layers=32, projection_dim=1024
    )
    miniature.make_miniature(folder, frames=25, layers=2, fp16_variant=True)


def make_diffusers(asked: argparse.Namespace, picture: Image.Image) -> Run:
    """Load the diffusers pipeline; return a run of it."""
    from diffusers import StableVideoDiffusionPipeline

    pipe = StableVideoDiffusionPipeline.from_pretrained(asked.folder, torch_dtype=torch.float16, variant="fp16").to(
        asked.device
    )
    pipe.set_progress_bar_config(disable=True)

    # torch 2.11 draws halves from another stream than floats, so both are given the same latents.
    generator, cells = torch.manual_seed(0), (asked.height // 8, asked.width // 8)
    torch.randn((1, 3, asked.height, asked.width), generator=generator)
    latents = torch.randn((1, asked.frames, 4, *cells), generator=generator).half()

    def run(steps: int) -> Made:
        kept: dict[str, Tensor] = {}

        def keep(_pipe: Any, _step: int, _time: Any, told: dict[str, Tensor]) -> dict[str, Tensor]:
            kept.update(told)
            return {}

        found = pipe(picture, height=asked.height, width=asked.width, num_frames=asked.frames, num_inference_steps=steps,
                     generator=torch.manual_seed(0), latents=latents, output_type="np", decode_chunk_size=asked.frames,
                     callback_on_step_end=keep)  # fmt: skip
        return Made(kept["latents"][0].cpu(), torch.from_numpy(found.frames[0]).permute(0, 3, 1, 2))

    return run


def make_ours(asked: argparse.Namespace, picture: Image.Image, dtype: str, engine_name: str) -> Run:
    """Load ours; return a run of it."""
    from unstill.decode import decode
    from unstill.generate import Sampling, foresee, ignore
    from unstill.models import Keep
    from unstill.request import Request

    keep = Keep()
    knobs = {"seed": 0, "frames": asked.frames, "size": f"{asked.width}x{asked.height}", "device": asked.device,
             "dtype": dtype, "engine": engine_name, "decode_chunk": asked.chunk, "model": str(asked.folder)}  # fmt: skip

    def run(steps: int) -> Made:
        image, plan = foresee(Request.from_mapping({**knobs, "steps": steps}), picture)
        engine = keep(plan)
        latents = Sampling(image).go_on(plan, engine)
        return Made(latents.values_BFCHW[0].cpu(), decode(plan, image, latents, engine, ignore).values_FCHW)

    return run


def measure(asked: argparse.Namespace, run: Callable[[], Made]) -> tuple[Made, list[float], int]:
    """Run once to warm up if repeated, then time each run; the peak counts all of them."""
    gc.collect()  # what was measured before holds its weights in cycles
    on_gpu = asked.device != "cpu"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    made = run()
    seconds = []
    for _ in range(asked.repeats):
        start = time.perf_counter()
        made = run()  # ends on the CPU, so nothing is left running
        seconds.append(time.perf_counter() - start)
    return made, seconds, torch.cuda.max_memory_allocated() if on_gpu else 0


def append(asked: argparse.Namespace, engine: str, steps: int, seconds: list[float], peak: int, errors: list[float]) -> None:
    """Write one row of bench/results.csv."""
    ask = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    commit = asked.commit or subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or "-"
    what = f"{asked.frames} frames of {asked.width}x{asked.height}, {steps} steps, fp16, random weights"
    note = f"{what}; errors against float32 as shares of its size: latents {errors[0]:.3e}, frames {errors[1]:.3e}"
    row = [asked.run, datetime.datetime.now(datetime.UTC).date().isoformat(), commit]
    row += [torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU", f"torch {torch.__version__}", "clip", engine]
    row += [f"{float(torch.tensor(seconds).quantile(part)):.3f}" for part in (0.2, 0.5, 0.8)]
    with asked.out.open("a", newline="") as file:
        csv.writer(file).writerow([*row, peak, "", f"{errors[1]:.3e}", note])


if __name__ == "__main__":
    main()
