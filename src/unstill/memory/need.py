"""How much device memory each stage of a clip needs, from shapes alone.

The networks are walked through as they run, counting numbers that are held at once; every count names what it counts. What
a library takes for itself inside of one operation is left out, but for float32 convolutions of the encoder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from unstill.artifacts import ModelFiles, Plan, Rung
from unstill.model.config import CLIPConfig, UNetConfig, VAEConfig
from unstill.model.names import Config
from unstill.model.weights import list_wanted, read_config
from unstill.request import Request
from unstill.values import Size

BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}
# Of the UNet's tensors the fast engine keeps these on the host: they become tables.
TABLES = re.compile(
    r"attn2|time_emb_proj|time_pos_embed|time_embedding|add_embedding|mix_factor|transformer_blocks\.\d+\.norm2"
)
DOUBLING = re.compile(r"upsamplers\.\d+\.conv\.weight")  # 3x3 becomes four times 2x2
SCORES = 1 << 25  # float32 numbers of the decoder's attention at once, see kernels/attend_wide
LATENTS = 10  # tensors of the clip's latents in float32 that sampling holds beside the network


@dataclass(frozen=True)
class Weights:
    """Bytes of each network where it runs."""

    tower: int
    encoder: int
    unet: int
    decoder: int
    largest_unit: int  # of the blocks that the UNet's weights come in

    @property
    def total(self) -> int:
        return self.tower + self.encoder + self.unet + self.decoder


@dataclass(frozen=True)
class Work:
    """What is made, and how: all that memory depends on."""

    size: Size
    frames: int
    branches: int  # of guidance, times clips
    bytes_each: int
    engine: str  # fast | reference
    has_kernels: bool = True  # the gate of the fast engine in one kernel
    upcasts: bool = True  # the VAE encodes in float32, as its activations overflow in fp16


def work_of(plan: Plan) -> Work:
    """Say what a plan makes."""
    on_gpu = plan.device.startswith("cuda")
    branches = count_branches(plan.request)
    return Work(plan.size, plan.frames, branches, BYTES[plan.dtype], plan.engine, on_gpu, upcasts=plan.dtype == "fp16")


def count_branches(settled: Request) -> int:
    """Say how often the network runs a step: once without guidance."""
    assert settled.guidance is not None
    ends = {settled.guidance.last} if settled.guidance_shape == "flat" else {settled.guidance.first, settled.guidance.last}
    return 1 if ends == {1.0} else 2


def count_weights(files: ModelFiles, work: Work) -> Weights:
    """Count what each network takes in the dtype and engine that it runs with."""
    configs = (read_config(part, files) for part in ("image_encoder", "vae", "unet"))
    counts = _count_numbers(files.layout, *configs, is_fast=work.engine == "fast")
    return Weights(*(int(work.bytes_each * count) for count in counts))


@lru_cache(maxsize=16)
def _count_numbers(layout: str, tower: Config, vae: Config, unet: Config, *, is_fast: bool) -> tuple[float, ...]:
    """Count the numbers of each network, and of the UNet's largest block.

    One plan asks for them dozens of times, and reading 3,000 names takes 4 ms.
    """
    whole, units = 0.0, dict[str, float]()
    for name, count in _list_counts(layout, unet, is_fast):
        if is_fast and TABLES.search(name):
            continue
        whole += count
        unit = re.match(r".*?(resnets|attentions|samplers)\.\d+", name)
        if unit:
            units[unit[0]] = units.get(unit[0], 0) + count
    sides = {True: 0.0, False: 0.0}
    for name, count in _list_counts(layout, vae, is_fast):
        sides[name.startswith("decoder.")] += count
    of_tower = sum(count for _, count in _list_counts(layout, tower, is_fast))
    return of_tower, sides[False], whole, sides[True], max(units.values())


def _list_counts(layout: str, config: Config, is_fast: bool) -> Iterator[tuple[str, float]]:
    for name, wanted in list_wanted(layout, config).items():
        yield name, math.prod(wanted.shape) * (16 / 9 if is_fast and DOUBLING.search(name) else 1)


def count_stages(files: ModelFiles, work: Work, rung: Rung) -> dict[str, int]:
    """Give the most device memory that each stage holds."""
    unet, vae, tower = (read_config(part, files) for part in ("unet", "vae", "image_encoder"))
    assert isinstance(unet, UNetConfig) and isinstance(vae, VAEConfig) and isinstance(tower, CLIPConfig)
    weights = count_weights(files, work)
    rows, columns = (side // 2 ** (len(vae.block_out_channels) - 1) for side in (work.size.height, work.size.width))
    clip = work.frames * rows * columns
    wide = 4 if vae.force_upcast and work.upcasts else work.bytes_each  # of the encoder
    latents = (LATENTS * 4 + work.branches * work.bytes_each * 4) * clip * vae.latent_channels
    step = count_step(unet, rows, columns, work, rung) * work.bytes_each
    held = _hold(weights, rung, wide / work.bytes_each, is_whole=work.engine == "reference")
    given = 2 * 4 * clip * vae.latent_channels  # the latents, and unscaled
    return {
        "embed": held["embed"] + count_tower(tower) * work.bytes_each,
        "encode": held["encode"] + count_encode(vae, work.size) * wide,
        "sample": held["sample"] + step + latents,
        "decode": held["decode"] + count_decode(vae, rows, columns, work, rung) * work.bytes_each + given,
    }


def _hold(weights: Weights, rung: Rung, upcast: float, *, is_whole: bool) -> dict[str, int]:
    """Give the bytes of weights on the device at each stage; the reference has encoder and decoder in one VAE."""
    encoder, decoder = weights.encoder, weights.decoder
    if is_whole:
        encoder = decoder = encoder + decoder
    wider = int(encoder * (upcast - 1))
    if not rung.swaps:
        all_of_it = weights.total
        return {"embed": all_of_it, "encode": all_of_it + wider, "sample": all_of_it, "decode": all_of_it}
    encoder += wider
    unet = min(weights.unet, rung.window_bytes) if rung.window_bytes else weights.unet
    return {"embed": weights.tower, "encode": encoder, "sample": unet, "decode": decoder}


def count_tower(config: CLIPConfig) -> int:
    """Count what CLIP holds: tokens, what widens them, and the result."""
    tokens = (config.image_size // config.patch_size) ** 2 + 1
    return tokens * (2 * config.hidden_size + 3 * config.intermediate_size)


def count_encode(config: VAEConfig, size: Size) -> int:
    """Count what encoding holds: in a residual block its input, the level's, what is normalised and what is made of it.

    The library lays the input of a convolution of float32 out once more.
    """
    widths, most, inside = config.block_out_channels, 0, config.block_out_channels[0]
    for level, width in enumerate(widths):
        cells = size.area_px // 4**level
        before = cells * inside  # the level's input is held while the level runs
        most = max(most, before + cells * (2 * inside + width) + cells * inside)
        most = max(most, before + cells * 3 * width + cells * width)
        inside = width
    return most


# ---- a step --------------------------------------------------------------------------------------------------


def count_step(config: UNetConfig, rows: int, columns: int, work: Work, rung: Rung) -> int:
    """Count what a step holds at its most: what is kept for the way up, and the block at work."""
    frames = work.frames * (1 if rung.splits else work.branches)
    blocks = FastBlocks(work, rung) if work.engine == "fast" else PlainBlocks(work, rung)
    return max(_walk(config, list_levels(config, rows, columns, frames), blocks))


@dataclass(frozen=True)
class Level:
    """One size of the UNet's activations."""

    cells: int  # rows times columns times frames
    width: int
    attends_down: bool
    attends_up: bool


def list_levels(config: UNetConfig, rows: int, columns: int, frames: int) -> list[Level]:
    """List sizes from the largest."""
    levels = []
    for level, width in enumerate(config.block_out_channels):
        up = config.up_attention[len(config.block_out_channels) - 1 - level]
        levels.append(Level(frames * rows * columns, width, config.down_attention[level], up))
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    return levels


class FastBlocks:
    """What the fast engine's blocks hold."""

    holds_last = False  # what a block reads is let go of while it runs

    def __init__(self, work: Work, rung: Rung) -> None:
        self.gated = (4 if work.has_kernels else 16) // rung.parts  # of a feed-forward, gated in the kernel or after it
        self.seen = 1 if work.has_kernels else 3

    def res(self, cells: int, inside: int, outside: int) -> int:
        """Over pixels: input, what is normalised, its convolution; over frames: stream, and two of them."""
        return cells * max(inside + max(inside + outside, 2 * outside), 3 * outside)

    def attention(self, cells: int, width: int) -> int:
        """Input, stream, stream over time; queries, keys, values and what was seen; or what is gated."""
        return cells * width * max(1 + 3 + self.gated, 1 + 2 + 3 + self.seen)


class PlainBlocks:
    """What the reference's blocks hold."""

    holds_last = True  # on the way up, until the block is done

    def __init__(self, work: Work, rung: Rung) -> None:
        share = 1.0 if rung.forward_chunk is None else min(1.0, rung.forward_chunk / work.frames)
        self.wide = 16 * share + (1 if share < 1 else 0)  # of a feed-forward; what was made of other frames waits

    def res(self, cells: int, inside: int, outside: int) -> int:
        """Over pixels: input, normalised, activated; over frames: the same laid out by frames, and the blend."""
        return cells * max(inside + max(2 * inside, inside + outside, 3 * outside), 5 * outside)

    def attention(self, cells: int, width: int) -> int:
        """Input, stream, the same over frames; of feed-forwards both halves, the gate's GELU, and their product."""
        return int(cells * width * max(6 + self.wide, 10))


def _walk(config: UNetConfig, levels: list[Level], blocks: FastBlocks | PlainBlocks) -> Iterator[int]:
    """Walk down and up through a network, giving what is held at every place."""
    first, low, layers = levels[0], levels[-1], config.layers_per_block
    kept, inside = [first.cells * first.width], first.width
    for number, level in enumerate(levels):
        for _ in range(layers):
            yield sum(kept[:-1]) + blocks.res(level.cells, inside, level.width)  # the block's input is kept too
            if level.attends_down:
                yield sum(kept) + blocks.attention(level.cells, level.width)
            kept.append(level.cells * level.width)
            inside = level.width
        if number < len(levels) - 1:
            kept.append(levels[number + 1].cells * level.width)
            yield sum(kept)
    yield sum(kept) + blocks.attention(low.cells, low.width)
    for number, level in reversed(list(enumerate(levels))):
        for _ in range(layers + 1):
            skip = kept.pop() // level.cells
            yield sum(kept) + 2 * level.cells * (inside + skip)  # both, and both in one
            held = sum(kept) + (level.cells * inside if blocks.holds_last else 0)
            yield held + blocks.res(level.cells, inside + skip, level.width)
            if level.attends_up:
                yield held + blocks.attention(level.cells, level.width)
            inside = level.width
        if number:
            mine = level.cells * level.width
            yield sum(kept) + mine + 2 * levels[number - 1].cells * level.width  # enlarged or four kinds; and the result
    yield 3 * first.cells * first.width


# ---- decoding ------------------------------------------------------------------------------------------------


def count_decode(config: VAEConfig, rows: int, columns: int, work: Work, rung: Rung) -> int:
    """Count what decoding holds: all frames of the largest activation, what is at work, and the pixels."""
    widths = config.block_out_channels
    values = rung.decode_chunk * widths[0] * work.size.area_px
    pixels = work.frames * work.size.area_px * config.out_channels
    if work.engine == "reference":
        if rung.decode_chunk >= work.frames:
            return (
                work.frames * work.size.area_px * 4 * widths[1]
            )  # the last level's input, normalised, activated; its caller's
        return max(_walk_decoder_reference(config, rows, columns, values, work, rung)) + pixels
    largest = max(list_kept(config, rows * columns))
    kept = (work.frames - rung.parked) * largest
    return kept + max(*_walk_decoder(config, rows, columns, values, work, rung), 3 * pixels)


def list_kept(config: VAEConfig, cells: int) -> Iterator[int]:
    """List the numbers of one frame after every level."""
    for number, width in enumerate(config.block_out_channels[::-1]):
        yield width * cells * 4**number


def _walk_decoder(config: VAEConfig, rows: int, columns: int, values: int, work: Work, rung: Rung) -> Iterator[int]:
    """Walk through `FastDecoder`: what is at work on pixels, then over frames, at every level."""
    inside, cells = config.block_out_channels[-1], rows * columns
    levels = list(enumerate(config.block_out_channels[::-1]))
    seen = min(SCORES, cells * cells) * (4 + work.bytes_each) // work.bytes_each  # scores, and shares of the result's type
    yield 7 * cells * inside + (seen if work.has_kernels else 0)
    for number, width in levels:
        doubled = number > 0
        most = cells * max(inside, width)
        at_once = 1 if rung.parked else min(work.frames, max(1, values // most))
        ferried = (2 * (cells // 4 if doubled else cells) * inside + cells * width) if rung.parked else 0
        block = inside + max(inside + width, 2 * width)
        doubling = 8 * cells // 4 * inside if doubled else 0
        on_pixels = max(cells * block if doubled else cells * (block - inside), 4 * doubling // 4 if doubled else 0)
        yield at_once * (on_pixels + (0 if work.has_kernels or rung.parked else cells * width)) + ferried
        band = values // (2 if rung.parked else 1)
        yield min(band, work.frames * cells * width) * (6 if rung.parked else 2 if work.has_kernels else 4)
        inside = width
        cells *= 4


def _walk_decoder_reference(config: VAEConfig, rows: int, columns: int, values: int, work: Work, rung: Rung) -> Iterator[int]:
    """Walk through `decode_by_layers`."""
    inside, cells = config.block_out_channels[-1], rows * columns
    for width in config.block_out_channels[::-1]:
        kept = 0 if rung.parked else work.frames * cells * width
        at_once = min(work.frames, max(1, values // (cells * max(inside, width))))
        yield kept + at_once * cells * (inside + max(2 * inside, inside + width, 3 * width))
        yield kept + min(values, work.frames * cells * width) * 6
        inside, cells = width, cells * 4
