"""Make whole clips with the GPU's memory capped, and compare what the plan foresaw with what was held.

    python bench/capped.py --folder /tmp/svd-random --out rows.csv

Every cap is set in PyTorch's allocator and the plan left to choose, with the frames held against those without a cap; then
diffusers' own recipe for little memory, offloading with forward chunks and two frames decoded at a time, whose frames are
others. With --combinations, sizes, lengths, dtypes and ways are gone through with two steps each, every one capped at what its
plan foresees.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import gc
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "src"), str(HERE)]

from full_clip import write_full_size  # noqa: E402

from unstill.errors import UnstillError  # noqa: E402
from unstill.generate import animate, foresee  # noqa: E402
from unstill.memory.rungs import ASIDE_BYTES  # noqa: E402
from unstill.models import Keep  # noqa: E402
from unstill.request import Request  # noqa: E402

CAPS_GB = (None, 24.0, 16.0, 12.0, 8.0, 6.0, 4.0, 3.0, 2.5, 2.0)
SIZES, FRAMES, WAYS = ("512x320", "768x448", "1024x576", "576x1024"), (14, 25), ("fast", "lean", "tiny")
OTHERS = (("reference", "fp16"), ("fast", "bf16"), ("reference", "fp32"))  # engines and dtypes, at a small size


def main() -> None:
    """Make the model, run, print, keep rows."""
    asked = read_arguments()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if not (asked.folder / "model_index.json").exists():
        write_full_size(asked.folder)
    rows = []
    for row in run_caps(asked):
        rows.append(row)
        print("  ".join(str(part) for part in row[5:]), flush=True)
    if asked.combinations:
        for row in run_combinations(asked):
            rows.append(row)
            print("  ".join(str(part) for part in row[5:]), flush=True)
    if asked.out:
        with asked.out.open("a", newline="") as file:
            csv.writer(file).writerows(rows)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", default="1024x576")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--caps", type=float, nargs="*", help="in GB")
    parser.add_argument("--combinations", action="store_true")
    parser.add_argument("--no-diffusers", action="store_true")
    parser.add_argument("--run", default="capped", help="name of this run in bench/results.csv")
    parser.add_argument("--commit", default="-")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def open_picture() -> Image.Image:
    """Open the picture that all clips are of."""
    return Image.open(HERE.parent / "examples" / "harbour.jpg").convert("RGB")


def cap(limit_gb: float | None) -> None:
    """Limit what PyTorch may take of the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(1.0 if limit_gb is None else limit_gb * 1e9 / total)
        torch.cuda.reset_peak_memory_stats()


def run_caps(asked: argparse.Namespace) -> Iterator[list[Any]]:
    """Make the same clip under every cap."""
    keep, whole = Keep(), None
    knobs = {"model": str(asked.folder), "size": asked.size, "frames": asked.frames, "steps": asked.steps, "seed": 0,
             "device": asked.device, "dtype": "fp16" if asked.device == "cuda" else "fp32", "engine": "fast"}  # fmt: skip
    make(keep, {**knobs, "steps": 1})  # kernels are compiled
    for limit_gb in asked.caps or CAPS_GB:
        cap(limit_gb)
        try:
            if limit_gb not in (None, CAPS_GB[1]):
                make(keep, {**knobs, "steps": 1})  # what the rung arranges anew is no part of a clip
                torch.cuda.reset_peak_memory_stats() if torch.cuda.is_available() else None
            clip, plan, took_s = make(keep, knobs)
        except UnstillError as error:
            print(limit_gb, error.message, flush=True)
            continue
        frames = torch.from_numpy(clip.frames)
        whole = frames if whole is None else whole
        note = f"{plan.rung.name} foreseen, {clip.report.memory} at the end; {tell_stages(clip)}; {tell_rung(plan)}"
        yield make_row(asked, (name_cap(limit_gb), f"fast-{plan.rung.name}"), took_s, peaks_of(clip, plan), frames, whole, note)
    keep._kept = None
    cap(None)
    if not asked.no_diffusers:
        yield run_diffusers(asked)


def name_cap(limit_gb: float | None) -> str:
    """Name the scenario."""
    return "clip-capped-none" if limit_gb is None else f"clip-capped-{limit_gb:g}GB"


def make(keep: Keep, knobs: dict[str, Any]) -> tuple[Any, Any, float]:
    """Make a clip; give it with its plan and the seconds it took."""
    plans = []

    def load(plan: Any) -> Any:
        plans.append(plan)
        return keep(plan)

    start = time.perf_counter()
    clip = animate(open_picture(), load=load, **knobs)
    return clip, plans[0], time.perf_counter() - start


def peaks_of(clip: Any, plan: Any) -> tuple[int, int]:
    """Give the bytes that were held, and those that were foreseen."""
    return clip.report.peak_bytes, plan.rung.peak_bytes


def tell_stages(clip: Any) -> str:
    """Say where time and memory went."""
    held = ", ".join(f"{name} {count / 1e9:.2f}" for name, count in clip.report.stages_bytes.items())
    return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in clip.report.stages_s.items()) + f"; held in GB: {held}"


def tell_rung(plan: Any) -> str:
    """Say how it was held, and what each stage should hold."""
    rung = plan.rung
    stages = ", ".join(f"{name} {count / 1e9:.2f}" for name, count in rung.stages.items())
    return f"window {rung.window_bytes / 1e9:.2f} GB, parked {rung.parked}; foreseen in GB: {stages}"


def make_row(
    asked: argparse.Namespace,
    names: tuple[str, str],
    took_s: float,
    peaks: tuple[int, int | None],
    frames: Tensor,
    whole: Tensor,
    note: str,
) -> list[Any]:
    """Give one row of bench/results.csv; the error is the largest difference to the clip without a cap, in grey levels."""
    on_gpu = torch.cuda.is_available()
    held = torch.cuda.max_memory_reserved() if on_gpu else 0
    far = (frames.int() - whole.int()).abs() if frames.shape == whole.shape else torch.zeros(1)
    what = f"{asked.frames} frames of {asked.size}, {asked.steps} steps, random weights"
    same = f"{100 * float((far > 0).float().mean()):.3f} % of values differ from the clip without a cap"
    note = f"{what}; {held / 1e9:.2f} GB reserved; {same}; {note}"
    day, device = datetime.datetime.now(datetime.UTC).date().isoformat(), torch.cuda.get_device_name() if on_gpu else "CPU"
    head = [asked.run, day, asked.commit, device, f"torch {torch.__version__}", *names]
    return [*head, *[f"{took_s:.3f}"] * 3, peaks[0], peaks[1] or "", int(far.max()), note]


def run_diffusers(asked: argparse.Namespace) -> list[Any]:
    """Make a clip as diffusers' guide says for little memory."""
    from diffusers import StableVideoDiffusionPipeline

    pipe = StableVideoDiffusionPipeline.from_pretrained(asked.folder, torch_dtype=torch.float16, variant="fp16")
    pipe.enable_model_cpu_offload()
    pipe.unet.enable_forward_chunking()
    pipe.set_progress_bar_config(disable=True)
    width, height = (int(side) for side in asked.size.split("x"))
    picture = open_picture().resize((width, height))

    def run(steps: int) -> Tensor:
        found = pipe(picture, height=height, width=width, num_frames=asked.frames, num_inference_steps=steps,
                     generator=torch.manual_seed(0), output_type="np", decode_chunk_size=2)  # fmt: skip
        return torch.from_numpy(found.frames[0] * 255).round().byte()

    run(1)
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    frames = run(asked.steps)
    took_s, peak = time.perf_counter() - start, torch.cuda.max_memory_allocated()
    note = "model offload, forward chunking, two frames decoded at a time: other frames at every chunk's border"
    return make_row(asked, ("clip-capped-none", "diffusers-low"), took_s, (peak, None), frames, frames, note)


def run_combinations(asked: argparse.Namespace) -> Iterator[list[Any]]:
    """Go through shapes and ways with two steps each."""
    keep = Keep()
    plain = {"model": str(asked.folder), "steps": 2, "seed": 0, "device": asked.device}
    shapes = [("fast", "fp16", *rest) for rest in itertools.product(SIZES, FRAMES, WAYS)]
    shapes += [(engine, dtype, "512x320", 14, way) for (engine, dtype), way in itertools.product(OTHERS, WAYS)]
    for engine, dtype, size, frames, way in shapes:
        knobs = {**plain, "engine": engine, "dtype": dtype, "size": size, "frames": frames, "memory": way}
        if way == "tiny":
            knobs["max_memory"] = 10**8  # as small as it gets
        _, plan = foresee(Request.from_mapping(knobs), open_picture())
        cap(None)
        keep(plan)  # another engine is loaded, and the way arranged, without a cap
        cap((plan.rung.peak_bytes + ASIDE_BYTES) / 1e9)  # libraries take more where there is more
        clip, plan, took_s = make(keep, knobs)
        made = torch.from_numpy(clip.frames)
        asked.size, asked.frames, asked.steps = size, frames, 2
        off = plan.rung.peak_bytes / clip.report.peak_bytes - 1
        note = f"{dtype}; {tell_stages(clip)}; foreseen {100 * off:+.1f} % of what was held; {tell_rung(plan)}"
        yield make_row(asked, ("clip-planned", f"{engine}-{way}"), took_s, peaks_of(clip, plan), made, made, note)


if __name__ == "__main__":
    main()
