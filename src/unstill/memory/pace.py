"""About how long a clip takes on this device: the work of its products, counted, at the rate that the device reaches.

An estimate, for whoever decides whether to wait. The shares that engines reach were measured on one H200 and on two cores of
a CPU. It does not know what the device is doing besides.
"""

from __future__ import annotations

import time
from functools import cache

import torch

from unstill.artifacts import Plan
from unstill.memory.need import Level, count_branches, count_weights, list_kept, list_levels, work_of
from unstill.model.config import UNetConfig, VAEConfig
from unstill.model.weights import read_config

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# Of the rate of large products: by a step, and by decoding. Above one where convolutions are faster than products.
SHARES = {("fast", "cuda"): (0.62, 0.53), ("reference", "cuda"): (0.34, 0.11), ("reference", "cpu"): (0.87, 1.4)}
WARM, TIMED = 2, 6  # products, not counted and counted


def estimate_s(plan: Plan) -> float:
    """Give the seconds that a clip takes, about, without loading."""
    unet, vae = read_config("unet", plan.model), read_config("vae", plan.model)
    assert isinstance(unet, UNetConfig) and isinstance(vae, VAEConfig)
    device = plan.device.partition(":")[0]
    rate = measure_rate(plan.device, plan.dtype)
    for_step, for_decoding = SHARES.get((plan.engine, device), SHARES["reference", "cuda"])
    rows, columns = (side // 2 ** (len(vae.block_out_channels) - 1) for side in (plan.size.height, plan.size.width))
    branches = count_branches(plan.request)
    step_s = branches * count_step_work(unet, rows, columns, plan.frames) / (for_step * rate)
    decode_s = count_decode_work(vae, rows, columns, plan.frames) / (for_decoding * rate)
    if plan.rung.window_bytes or plan.rung.parked:
        link = measure_link(plan.device)
        weights = count_weights(plan.model, work_of(plan))
        step_s = max(step_s, branches * max(0, weights.unet - plan.rung.window_bytes) / link)
        cells = rows * columns
        once = sum(plan.rung.parked * kept * PASSES for kept in list_kept(vae, cells)) * DTYPES[plan.dtype].itemsize
        decode_s = max(decode_s, once / link)
    return plan.steps * step_s + decode_s


PASSES = 9  # that a parked activation comes back for: three in each of a level's three blocks


def count_step_work(config: UNetConfig, rows: int, columns: int, frames: int) -> float:
    """Count the operations of one branch of a step, two for every product of numbers."""
    levels, layers = list_levels(config, rows, columns, frames), config.layers_per_block
    low, first = levels[-1], levels[0]
    total = 18.0 * first.cells * first.width * (config.in_channels + config.out_channels)
    total += 2 * _res(low, low.width) + _attention(low, frames)
    skips, inside = [first.width], first.width
    for number, level in enumerate(levels):
        for _ in range(layers):
            total += _res(level, inside) + level.attends_down * _attention(level, frames)
            inside = level.width
            skips.append(inside)
        if number < len(levels) - 1:
            total += 18 * levels[number + 1].cells * inside**2
            skips.append(inside)
    for number, level in reversed(list(enumerate(levels))):
        for _ in range(layers + 1):
            total += _res(level, inside + skips.pop()) + level.attends_up * _attention(level, frames)
            inside = level.width
        if number:
            total += 18 * levels[number - 1].cells * inside**2
    return total


def _res(level: Level, inside: int) -> float:
    """Two convolutions of 3x3 and two over three frames; and one of 1x1 where the width changes."""
    width = level.width
    short = 2 * inside * width if inside != width else 0
    return level.cells * (18.0 * (inside * width + width**2) + 12 * width**2 + short)


def _attention(level: Level, frames: int) -> float:
    """Projections, queries, keys, values, outputs; every pixel with every other; every frame; three feed-forwards."""
    width, pixels = level.width, level.cells // frames
    return level.cells * ((4 + 8 + 24 + 24 + 8 + 24 + 8) * width**2 + 4.0 * width * (pixels + frames))


def count_decode_work(config: VAEConfig, rows: int, columns: int, frames: int) -> float:
    """Count the operations of decoding."""
    cells, inside = frames * rows * columns, config.block_out_channels[-1]
    total = cells * (18.0 * config.latent_channels * inside + 8 * inside**2 + 4 * inside * rows * columns)
    total += config.layers_per_block * _res(Level(cells, inside, False, False), inside)
    for number, width in enumerate(config.block_out_channels[::-1]):
        if number:
            cells *= 4
            total += 18 * cells * inside**2
        for layer in range(config.layers_per_block + 1):
            total += _res(Level(cells, width, False, False), width if layer else inside)
        inside = width
    return total + cells * (18 * inside * config.out_channels + 6 * config.out_channels**2)


@cache
def measure_rate(device: str, dtype: str) -> float:
    """Time large products; return operations a second."""
    side = 4096 if device.startswith("cuda") else 1024
    x = torch.randn(side, side, device=device).to(DTYPES[dtype])
    return TIMED * 2 * side**3 / _time(device, lambda: x @ x)


@cache
def measure_link(device: str) -> float:
    """Time copies from pinned host memory; return bytes a second."""
    there = torch.empty(1 << 26, dtype=torch.uint8, pin_memory=device.startswith("cuda"))
    here = torch.empty_like(there, device=device)
    return TIMED * there.numel() / _time(device, lambda: here.copy_(there, non_blocking=True))


def _time(device: str, work: object) -> float:
    assert callable(work)
    start = 0.0
    for number in range(WARM + TIMED):
        if number == WARM:
            _wait(device)
            start = time.perf_counter()
        work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()
