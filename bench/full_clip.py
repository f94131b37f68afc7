"""Run a whole clip at full size, with random weights, in diffusers and in ours, and compare the frames.

    python bench/full_clip.py --folder /tmp/svd-random --steps 5

Writes a random full-size model into the folder once (4.5 GB in fp16). Prints one row of bench/results.csv for each
run, and how far each fp16 clip is from the float32 one. Times of one call may be compared, others may not.
It says nothing about quality: random weights draw noise.
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "src")]
Frames = NDArray[np.float32]


def main() -> None:
    """Make the model, run both, print rows."""
    asked = read_arguments()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 is the yardstick
    if not (asked.folder / "model_index.json").exists():
        write_full_size(asked.folder)
    picture = Image.open(HERE.parent / "examples" / "harbour.jpg").convert("RGB").resize((asked.width, asked.height))
    stock, stock_s, stock_peak = measure(asked, make_diffusers(asked, picture), asked.repeats)
    ours, our_s, our_peak = measure(asked, make_ours(asked, picture, "fp16"), asked.repeats)
    exact, _, _ = measure(asked, make_ours(asked, picture, "fp32"), 1)
    print_row(asked, "diffusers-eager", (stock_s, stock_peak), np.abs(stock - exact))
    print_row(asked, "reference", (our_s, our_peak), np.abs(ours - exact))
    print(f"fp16 clips differ by {float(np.abs(stock - ours).mean()):.2e} on average; float32 frames spread {exact.std():.3f}")
    print(f"ours over diffusers: time {statistics.median(our_s) / statistics.median(stock_s):.3f}", end=", ")
    print(f"mean error {np.abs(ours - exact).mean() / np.abs(stock - exact).mean():.3f}")


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=576)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--run", default="full-clip", help="name of this run in bench/results.csv")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
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


def make_diffusers(asked: argparse.Namespace, picture: Image.Image) -> Callable[[], Frames]:
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

    def run() -> Frames:
        frames: Any = pipe(
            picture,
            height=asked.height,
            width=asked.width,
            num_frames=asked.frames,
            num_inference_steps=asked.steps,
            generator=torch.manual_seed(0),
            latents=latents,
            output_type="np",
        )
        found: Frames = frames.frames[0]
        return found

    return run


def make_ours(asked: argparse.Namespace, picture: Image.Image, dtype: str) -> Callable[[], Frames]:
    """Load ours; return a run of it."""
    from unstill.decode import decode
    from unstill.engine import load_engine
    from unstill.generate import foresee, ignore, run_steps
    from unstill.request import Request

    size, frames = f"{asked.width}x{asked.height}", asked.frames
    knobs = {"steps": asked.steps, "seed": 0, "frames": frames, "size": size, "device": asked.device, "dtype": dtype}
    request = Request.from_mapping({"model": str(asked.folder), **knobs})
    image, plan = foresee(request, picture)
    engine = load_engine(plan)

    def run() -> Frames:
        frames = decode(plan, run_steps(plan, image, engine, ignore), engine, image.content, ignore)
        return frames.values_FCHW.permute(0, 2, 3, 1).numpy()

    return run


def measure(asked: argparse.Namespace, run: Callable[[], Frames], repeats: int) -> tuple[Frames, list[float], int]:
    """Run once to warm up if repeated, then time each run; the peak counts all of them."""
    gc.collect()  # what was measured before holds its weights in cycles
    on_gpu = asked.device != "cpu"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    frames = run() if repeats > 1 else np.zeros(0, np.float32)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        frames = run()  # ends on the CPU, so nothing is left running
        seconds.append(time.perf_counter() - start)
    return frames, seconds, torch.cuda.max_memory_allocated() if on_gpu else 0


def print_row(asked: argparse.Namespace, engine: str, cost: tuple[list[float], int], error: Frames) -> None:
    """Print one row of bench/results.csv."""
    ask = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or "-"
    seconds, peak_bytes = cost
    shape = f"{asked.frames} frames of {asked.width}x{asked.height}"
    note = (
        f"{shape}, {asked.steps} steps, fp16, random weights; errors of frames in 0-1 against float32, mean {error.mean():.3e}"
    )
    row = [asked.run, datetime.datetime.now(datetime.UTC).date().isoformat(), commit]
    row += [torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU", f"torch {torch.__version__}", "clip", engine]
    row += [f"{np.quantile(seconds, q):.3f}" for q in (0.2, 0.5, 0.8)]
    csv.writer(sys.stdout).writerow([*row, peak_bytes, "", f"{error.max():.3e}", note])


if __name__ == "__main__":
    main()
