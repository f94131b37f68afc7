"""What each part of the fast engine gives: a step of the UNet and a decoding, with one more kernel at a time, at full size.

    python bench/rungs.py --out rows.csv

The first rung is the reference; the second has folded weights and channels last, every operation PyTorch's own. Errors are
against float32, as shares of its size. Times of one call may be compared, others may not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]

from engines import HALF, append, make_vae, measure  # noqa: E402
from full_unet_parity import make_input, make_ours  # noqa: E402

import unstill.engine.fold as fold  # noqa: E402
from unstill.engine.decoder import Bench, decode_by_layers  # noqa: E402
from unstill.engine.fast_decoder import FastDecoder  # noqa: E402
from unstill.engine.fast_unet import FastUNet  # noqa: E402
from unstill.kernels import add_norm, attend, attend_wide, gate, mix, norm, over_time, weave  # noqa: E402

Switch = tuple[Any, str, Any]  # where, what, and what stands there while the rung is not reached


def refuse(*_: object) -> bool:
    """Run the plain version."""
    return False


def double_plainly(self: fold.FoldedDoubling, x_NHWC: Tensor, rows: int, columns: int) -> Tensor:
    """Double the picture, then convolve it."""
    large_NCHW = F.interpolate(x_NHWC.permute(0, 3, 1, 2), size=(rows, columns), mode="nearest")
    weight = self.whole[0].to(x_NHWC.device).contiguous(memory_format=torch.channels_last)
    return fold.convolve(large_NCHW.permute(0, 2, 3, 1), weight, (1, 1), self.bias)


RUNGS: tuple[tuple[str, tuple[Switch, ...]], ...] = (
    ("group norm", ((norm, "runs_on_triton", refuse),)),
    ("sums with tables, layer norm", ((mix, "runs_on_triton", refuse), (add_norm, "runs_on_triton", refuse))),
    ("attention over frames", ((attend, "runs_on_triton", refuse),)),
    ("cuDNN's attention", ((fold, "attend", F.scaled_dot_product_attention),)),
    ("product and gate", ((gate, "multiplies_on_triton", refuse),)),
    ("convolution over frames", ((over_time, "multiplies_on_triton", refuse),)),
    ("doubling on the small picture", ((weave, "runs_on_triton", refuse), (fold.FoldedDoubling, "forward", double_plainly))),
    ("attention of 512 channels", ((attend_wide, "runs_on_triton", refuse),)),
)


def climb(run: Callable[[], Tensor]) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Give the run with no kernel, then with one more each time."""
    kept = {id(switch): getattr(switch[0], switch[1]) for _, switches in RUNGS for switch in switches}
    for _, switches in RUNGS:
        for where, what, plain in switches:
            setattr(where, what, plain)
    yield "folded, channels last", run
    for name, switches in RUNGS:
        for switch in switches:
            setattr(switch[0], switch[1], kept[id(switch)])
        yield f"+ {name}", run


@torch.no_grad()
def main() -> None:
    """Print a table and append the rows."""
    asked = read_arguments()
    device = torch.device(asked.device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # float32 is the yardstick
    rows = []
    unet = make_ours(device, HALF, asked.seed)
    x, told = make_input(asked, device, HALF)
    exact = make_ours(device, HALF, asked.seed).float()(x.float(), *(part.float() for part in told))
    rows.append(measure("unet-step", "reference", lambda: unet(x, *told), exact, asked))
    fast = FastUNet(unet.cpu()).to(device)
    clock = torch.tensor(1.0)
    for name, run in climb(lambda: fast(x, clock, *told[1:])):
        rows.append(measure("unet-step", name, run, exact, asked))
    vae, frame = make_vae(device, asked.seed), 128 * asked.rows * asked.columns * 64
    z = torch.randn(asked.frames, 4, asked.rows, asked.columns, generator=torch.Generator().manual_seed(2)).to(device, HALF)
    exact = decode_by_layers(make_vae(device, asked.seed).float().decoder, z.float(), Bench(frame, device, device))
    bench = Bench(asked.frames * frame, device, device)
    rows.append(measure("decode", "reference", lambda: decode_by_layers(vae.decoder, z, bench), exact, asked))
    decoder = FastDecoder(vae.decoder.cpu()).to(device)
    for name, run in climb(lambda: decoder(z, asked.frames * frame)):
        rows.append(measure("decode", name, run, exact, asked))
    for row in rows:
        took, peak = f"{1000 * statistics.median(row.seconds):8.1f} ms", f"{row.peak_bytes / 1e9:6.2f} GB"
        print(f"{row.scenario:9} {row.engine:34} {took} {peak}  error {row.error:.2e}")
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
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", default="rungs", help="name of this run in bench/results.csv")
    parser.add_argument("--commit", default="")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
