"""Compare one forward of the full-size UNet, with random weights, between ours and diffusers.

    python bench/full_unet_parity.py --device cuda --frames 14 --rows 72 --columns 128

Both share one set of 1.5 billion weights. Prints the largest error and the seconds that each took.
It does not know of published weights.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections.abc import Callable

import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import Tensor, nn

from unstill.model.config import UNetConfig
from unstill.model.unet import UNet

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def main() -> None:
    """Build both, run both, print what differs."""
    asked = read_arguments()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    device, dtype = torch.device(asked.device), DTYPES[asked.dtype]
    ours = make_ours(device, dtype, asked.seed)
    theirs = make_theirs(ours)
    x, told = make_input(asked, device, dtype)
    with torch.no_grad():
        mine, our_s = measure(lambda: ours(x, *told), device, asked.repeats)
        other, their_s = measure(lambda: theirs(x, *told).sample, device, asked.repeats)
    error = float((mine.double() - other.double()).abs().max())
    print(f"parameters {sum(p.numel() for p in ours.parameters()):,}")
    print(f"input {list(x.shape)} {asked.dtype} on {describe(device)}, torch {torch.__version__}")
    print(f"output mean size {float(other.double().abs().mean()):.4f}, finite {bool(mine.isfinite().all())}")
    print(f"largest error {error:.3e}, equal bit for bit {torch.equal(mine, other)}")
    ratio = f", ratio {our_s / their_s:.3f}" if asked.repeats > 1 else " (one cold run each: not to be compared)"
    print(f"seconds ours {our_s:.3f}, diffusers {their_s:.3f}{ratio}")
    print(f"peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="fp32", choices=DTYPES)
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--columns", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def make_ours(device: torch.device, dtype: torch.dtype, seed: int) -> UNet:
    """Build our UNet with weights that keep activations of order one."""
    with torch.device("meta"):
        unet = UNet(UNetConfig())
    unet = unet.to(dtype).to_empty(device=device).requires_grad_(False)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in unet.named_parameters():
        scale = 0.1 if parameter.ndim == 1 else 1 / math.sqrt(parameter[0].numel())
        parameter.normal_(0.0, scale, generator=generator)
        if "norm" in name and name.endswith("weight"):
            parameter += 1
    return unet.eval()


def make_theirs(ours: nn.Module) -> nn.Module:
    """Build diffusers' UNet on the same weights."""
    with torch.device("meta"):
        unet: nn.Module = UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20))
    unet.load_state_dict(ours.state_dict(), assign=True)
    return unet.eval()


def make_input(asked: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Draw latents and conditions on the CPU, so that they are the same on every device."""
    generator = torch.Generator().manual_seed(asked.seed + 1)
    x = torch.randn(asked.clips, asked.frames, 8, asked.rows, asked.columns, generator=generator)
    context = torch.randn(asked.clips, 1, 1024, generator=generator)
    ids = torch.tensor([[6.0, 127.0, 0.02]]).expand(asked.clips, -1)
    return x.to(device, dtype), (torch.tensor(1.0, device=device), context.to(device, dtype), ids.to(device, dtype))


def measure(run: Callable[[], Tensor], device: torch.device, repeats: int) -> tuple[Tensor, float]:
    """Run so often, and once before to warm up if that is more than once; return the result and the median seconds."""
    seconds = []
    for _ in range(repeats if repeats == 1 else repeats + 1):
        synchronise(device)
        start = time.perf_counter()
        result = run()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    warm = sorted(seconds[1:] or seconds)
    return result, warm[len(warm) // 2]


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(device: torch.device) -> str:
    """Name the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
