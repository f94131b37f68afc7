"""The rungs of one ladder, from fastest to smallest, and the fastest that fits. All of them make the same frames.

- fast: every part of the model is on the device.
- lean: parts take turns, and so do the branches of guidance; few frames are decoded at once.
- tiny: the UNet's weights come block by block, and of what is decoded most waits in host memory, each sized to the need.

Where the device's memory is the host's there is nothing to wait in: lean and tiny then work on less at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from unstill.artifacts import ModelFiles, Rung
from unstill.memory.need import Work, count_stages, count_weights, list_kept
from unstill.model.config import VAEConfig
from unstill.model.weights import read_config
from unstill.values import Size

WINDOW_BLOCKS = 2  # of the UNet's largest, so that the next one comes while one runs
WORTH = 0.9  # of what lean needs; a way between that saves less is none
PARTS = 4  # of a feed-forward, whose gated numbers are then as many as the others
GRID = 64  # pixels that sizes should be multiples of
MOST_TOGETHER = 4  # clips that share a pass; of the bundled model more, as its passes are launches and little else
MOST_SMALL_TOGETHER = 8
ENOUGH_PX = 9_000_000  # frames times their area, with guidance: a pass of more runs hardly better
ASIDE_BYTES = 200_000_000  # of a budget: what libraries take for themselves, and what lies between blocks of memory


def list_rungs(
    files: ModelFiles, work: Work, first: Rung, budget_bytes: int | None, *, is_apart: bool, host_bytes: int | None = None
) -> list[Rung]:
    """List all rungs below and with the first one, with what each stage will hold.

    There are two of tiny: as large as the budget allows, and the smallest, for when there is less than was thought.
    """
    fewer = min(first.decode_chunk, max(1, work.frames // 25) if is_apart else max(1, first.decode_chunk // 4))
    lean = replace(first, name="lean", swaps=is_apart, splits=True, decode_chunk=fewer)
    tiny = replace(lean, name="tiny", decode_chunk=1)
    if work.engine == "reference":
        tiny = replace(tiny, forward_chunk=min(first.forward_chunk or 1, work.frames))
    if is_apart:
        weights = count_weights(files, work)
        window = min(WINDOW_BLOCKS * weights.largest_unit, weights.unet)
        tiny = replace(tiny, window_bytes=window, parked=work.frames, parts=PARTS)

    def count(rung: Rung) -> Rung:
        return replace(rung, stages=count_stages(files, work, rung))

    first, lean, tiny = count(first), count(lean), count(tiny)
    rungs = [first, lean, tiny]
    if budget_bytes is not None:
        filled = widen(files, tiny, work, budget_bytes - ASIDE_BYTES, count)
        if filled.stages != tiny.stages and max(filled.stages.values()) < WORTH * max(lean.stages.values()):
            rungs.insert(2, filled)
    if is_apart and host_bytes is not None:
        rungs[1:] = [replace(rung, on_disk=count_host(files, work, rung) > host_bytes) for rung in rungs[1:]]
    return drop_equals(rungs)


def count_together(files: ModelFiles, work: Work, rung: Rung, budget_bytes: int | None) -> int:
    """Count the clips that may share a pass: as many as gain by it and fit, where the whole model is on a GPU."""
    if rung.name != "fast" or rung.swaps or rung.forward_chunk or not work.has_kernels:
        return 1
    clip_px = work.frames * work.size.area_px * work.branches / 2
    for clips in range(min(MOST_TOGETHER, max(2, math.ceil(ENOUGH_PX / clip_px))), 1, -1):
        shared = replace(rung, stages=count_stages(files, replace(work, branches=work.branches * clips), rung))
        if budget_bytes is None or fits(shared, budget_bytes):
            return clips
    return 1


def drop_equals(rungs: list[Rung]) -> list[Rung]:
    """Leave out what is no different from the one above it."""
    kept = rungs[:1]
    for rung in rungs[1:]:
        if replace(rung, name=kept[-1].name, stages=kept[-1].stages) != kept[-1]:
            kept.append(rung)
    return kept


def count_host(files: ModelFiles, work: Work, rung: Rung) -> int:
    """Give the host memory that weights and frames wait in."""
    vae = read_config("vae", files)
    assert isinstance(vae, VAEConfig)
    cells = work.size.area_px // 4 ** (len(vae.block_out_channels) - 1)
    return count_weights(files, work).total + rung.parked * max(list_kept(vae, cells)) * work.bytes_each


def find_place(rungs: list[Rung], name: str, budget_bytes: int | None) -> int:
    """Give the place of a rung of that name that fits, else of the smallest; where there is none, of the one above."""
    order = ("fast", "lean", "tiny")
    able = [place for place, rung in enumerate(rungs) if order.index(rung.name) <= order.index(name)]
    named = [place for place in able if rungs[place].name == name]
    return next((place for place in named if budget_bytes is not None and fits(rungs[place], budget_bytes)), able[-1])


def widen(files: ModelFiles, tiny: Rung, work: Work, budget_bytes: int, count: Callable[[Rung], Rung]) -> Rung:
    """Use what tiny leaves of the budget: frames that need not wait, feed-forwards of more frames, a wider window."""
    if tiny.parked:
        fewer = range(work.frames + 1) if work.engine == "fast" else (0, work.frames)  # the reference parks all or none
        room = [parked for parked in fewer if count(replace(tiny, parked=parked)).stages["decode"] <= budget_bytes]
        tiny = replace(tiny, parked=min(room, default=work.frames))
    while tiny.forward_chunk and tiny.forward_chunk < work.frames:
        more = replace(tiny, forward_chunk=min(work.frames, 2 * tiny.forward_chunk))
        if count(more).stages["sample"] > budget_bytes:
            break
        tiny = more
    if tiny.window_bytes:
        spare = budget_bytes - count(tiny).stages["sample"]
        most = count_weights(files, work).unet
        tiny = replace(tiny, window_bytes=min(most, tiny.window_bytes + max(0, spare // 2)))
    if tiny.forward_chunk == work.frames:
        tiny = replace(tiny, forward_chunk=None)  # all at once
    return count(tiny)


def fits(rung: Rung, budget_bytes: int) -> bool:
    """Say whether a rung keeps within so much memory."""
    return rung.peak_bytes is None or rung.peak_bytes + ASIDE_BYTES <= budget_bytes


def describe(rung: Rung, frames: int) -> str:
    """Say what is done to need less."""
    said = []
    if rung.window_bytes:
        said.append("the UNet's weights come from host memory block by block")
    if rung.swaps:
        said.append("parts of the model take turns on the device")
    if rung.splits:
        said.append("branches of guidance run one after the other")
    if rung.forward_chunk and rung.forward_chunk < frames:
        said.append(f"feed-forwards run {rung.forward_chunk} of {frames} frames at a time")
    if rung.on_disk:
        said.append("weights wait on disk, because host memory is short too")
    if rung.parked:
        said.append(f"{rung.parked} of {frames} decoded frames wait in host memory")
    elif rung.decode_chunk < frames:
        said.append(f"{rung.decode_chunk} of {frames} frames are decoded at a time")
    return ", ".join(said) or "everything is on the device"


def suggest(files: ModelFiles, work: Work, first: Rung, budget_bytes: int, *, is_apart: bool) -> str:
    """Say what would fit: fewer frames of this size, or so many of a smaller one."""

    def is_possible(other: Work) -> bool:
        return fits(list_rungs(files, other, first, budget_bytes, is_apart=is_apart)[-1], budget_bytes)

    fewer = next((n for n in range(work.frames - 1, 1, -1) if is_possible(replace(work, frames=n))), None)
    smaller = next((size for size in shrink(work.size) if is_possible(replace(work, size=size))), None)
    said = [f"--frames {fewer}"] if fewer else []
    said += [f"--size {smaller}"] if smaller else []
    return f"{' or '.join(said)} would fit" if said else "a smaller size and fewer frames need less"


def shrink(size: Size) -> list[Size]:
    """List smaller sizes of about the same shape, in steps of the network's largest cell."""
    sizes = []
    for part in range(9, 2, -1):
        width, height = (max(GRID, round(side * part / 10 / GRID) * GRID) for side in (size.width, size.height))
        sizes.append(Size(width, height))
    return sizes
