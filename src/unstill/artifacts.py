"""The six nouns that flow through the product, and the small values they are made of.

    picture ─▶ PreparedImage ─▶ Plan ─▶ Latents ─▶ Frames ─▶ Report ─▶ Clip

They hold data and know nothing of how it was made. Importing this module imports neither torch nor numpy.
Shape suffixes: B clip, F frame, C channel, H rows, W columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unstill.request import Request
from unstill.values import Size

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL.Image import Image

    Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)


@dataclass(frozen=True)
class View:
    """What a clip shows of its picture: a part of the same shape, enlarged."""

    left: float = 0.0  # of the picture's width
    top: float = 0.0  # of its height
    scale: float = 1.0

    @property
    def is_whole(self) -> bool:
        return self.scale == 1.0


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """The picture, upright, in sRGB, without transparency, framed for the model."""

    source_HWC: Pixels  # the framed part at the picture's own resolution: what CLIP looks at
    canvas_HWC: Pixels  # the same part at the size the model works at
    content: Box  # the part of the canvas that the clip keeps; the rest is padding
    original: Size  # the upright picture before framing
    sha256: str  # of the bytes that were read, to recognise the picture again
    notes: tuple[str, ...] = ()  # what was done to it, one sentence each

    @property
    def size(self) -> Size:
        """The size that the model works at."""
        return Size(self.canvas_HWC.shape[1], self.canvas_HWC.shape[0])


@dataclass(frozen=True)
class ModelFiles:
    """A model found on this machine: which files make it, and what is known about them."""

    name: str  # how people call it; never a path
    family: str  # svd | svd-xt | svd-xt-1.1 | pocket: whose presets and frame count apply
    layout: str  # diffusers | single-file | bundled
    weights: Mapping[str, tuple[Path, ...]]  # unet, vae, image_encoder; or checkpoint
    configs: Mapping[str, Mapping[str, Any]]  # unet, vae, image_encoder, scheduler, feature_extractor
    frames: int
    weights_bytes: int
    revision: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)  # by file name; of very large files `sampled-sha256:` of samples
    licence: str | None = None


@dataclass(frozen=True)
class Rung:
    """How a model is held in memory while a clip is made; the frames are the same on every rung."""

    name: str  # fast | lean | tiny
    decode_chunk: int  # frames of the clip's size that are decoded at once
    swaps: bool = False  # parts of the model are on the device only while they run
    splits: bool = False  # branches of guidance run one after the other
    window_bytes: int = 0  # of the UNet's weights on the device at a time; 0 is all of them
    forward_chunk: int | None = None  # frames that feed-forwards of the reference engine run at once
    parts: int = 1  # that feed-forwards of the fast engine take their rows in
    parked: int = 0  # frames of what is decoded that wait in host memory
    on_disk: bool = False  # weights wait in files, where host memory is short too
    stages: Mapping[str, int] = field(default_factory=dict)  # bytes of device memory that each stage will hold at most

    @property
    def peak_bytes(self) -> int | None:
        return max(self.stages.values(), default=None)


@dataclass(frozen=True)
class Plan:
    """What will happen, in resolved numbers: the request with nothing left open, and where it runs."""

    request: Request
    model: ModelFiles
    size: Size  # what the network works at; the clip may be smaller, see `clip_size`
    clip_size: Size
    device: str
    dtype: str
    engine: str
    weights_bytes: int
    rung: Rung  # how it is held in memory
    lower: tuple[Rung, ...] = ()  # what is stepped down to where memory runs out
    higher: tuple[Rung, ...] = ()  # what would be faster but does not fit, or was not asked for
    budget_bytes: int | None = None  # device memory that may be used
    together: int = 1  # clips of this kind that may share a pass through the network, where there are several to make
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what was decided and why, where nobody asked

    @property
    def decode_chunk(self) -> int:
        return self.rung.decode_chunk

    @property
    def frames(self) -> int:
        assert self.request.frames is not None
        return self.request.frames

    @property
    def steps(self) -> int:
        assert self.request.steps is not None
        return self.request.steps

    @property
    def seed(self) -> int:
        assert self.request.seed is not None
        return self.request.seed


@dataclass(frozen=True, eq=False)
class Latents:
    """The clip as the network leaves it."""

    values_BFCHW: torch.Tensor
    repairs: tuple[str, ...] = ()  # what had to be done again in float32


@dataclass(frozen=True, eq=False)
class Step:
    """One step of sampling, done; the next can be resumed from it."""

    number: int  # 1 is the first
    total: int
    sigma: float  # the noise that is left
    latents: Latents
    denoised_BFCHW: torch.Tensor  # what the network took the clip to be
    draw: Callable[[torch.Tensor], Pixels] | None = None  # draws a small clip of it without decoding


# Draws the frame at a place between frames, counted in frames: [C, H, W] in 0–1. Only of models whose motion is a
# function of time; of others, frames in between are made by optical flow.
Draw = Callable[[float], "torch.Tensor"]


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded frames in linear order, float32 in 0–1, on the CPU, padding removed."""

    values_FCHW: torch.Tensor
    view: View = View()
    notes: tuple[str, ...] = ()  # what came out otherwise than was asked, one sentence each
    draw: Draw | None = None


@dataclass(frozen=True)
class Scar:
    """A fault of the picture in a late frame, one that the first frame does not have."""

    kind: str  # torn | filled | smeared | bent | ghost
    size: float  # in the unit of its kind: see measure/scars.py
    frame: int  # counted from 1
    box: tuple[float, float, float, float]  # left, top, right, bottom, as shares of the frame


@dataclass(frozen=True)
class Measures:
    """What a clip looks like in numbers; px are those of a frame of 1024x576, greys are levels of 255."""

    motion_px: float  # mean length of the flow over the whole frame and the clip, a frame
    motion_spread_px: float  # standard deviation of it from frame to frame
    camera: str  # still | push | pull | left | right | up | down | orbit | arc | roll | zoom | dolly-zoom | handheld
    camera_or: str | None  # the next best word, where the two are close
    camera_px: float  # of the motion, what a camera explains
    objects_px: float  # mean of what no camera explains
    pan_x_px: float  # of the scene at the middle, to the right, a frame
    pan_y_px: float  # downward
    zoom_percent: float  # growth a frame
    roll_degrees: float  # clockwise, a frame
    static_share: float  # of the frame that moves less than a quarter of a pixel
    flicker_greys: float  # mean step of light from frame to frame, a steady fade taken away
    local_flicker_greys: float  # the same within 9x16 blocks
    flash_greys: float  # the largest step
    fade_greys: float  # the steady part of them
    alternates: float  # -1 is light that goes up and down with every frame
    seam_greys: float  # by how much the borders of chunks stand out
    seam_every: int  # frames in such a chunk; 0 is none found
    repeats: int  # frames that repeat the one before, in a clip that moves
    black_frames: int
    sharpness: float  # of the last frame, as a share of the first one's
    saturation: float
    contrast: float
    band_percent: float  # of the side: the widest band at a border that the first frame has not
    fidelity_db: float | None  # PSNR of the first frame against the picture
    cuts: tuple[int, ...] = ()  # frames, counted from 1, that show another scene than the one before
    scars: tuple[Scar, ...] = ()  # the worst of each kind, however small
    moved: tuple[tuple[float, float], ...] = ()  # how far what is at each arrow's start went, in fractions of the frame
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)  # by frame, or by pair of them


@dataclass(frozen=True)
class Verdict:
    """Something that is wrong with a clip, how one knows, and what helps."""

    name: str
    text: str
    cure: str
    frame: int | None = None  # counted from 1, where one shows it
    box: tuple[float, float, float, float] | None = None  # where in that frame: left, top, right, bottom, as shares


@dataclass(frozen=True)
class Try:
    """One clip or draft of a search, and what came of it."""

    kind: str  # draft | take | waking
    motion: int
    noise: float
    seed: int
    motion_px: float
    faults: tuple[str, ...]
    took_s: float


@dataclass(frozen=True)
class Report:
    """What was made and how it went, in numbers."""

    frames: int
    size: Size
    mean_change: float  # mean difference between neighbouring frames, in grey levels of 255
    fidelity_db: float  # PSNR of the first frame against the picture, or the part of it that the clip shows
    shows: float = 1.0  # the share of the picture's width that the clip shows
    stages_s: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: int | None = None
    stages_bytes: Mapping[str, int] = field(default_factory=dict)  # the most device memory that each stage held
    device: str = "cpu"
    dtype: str = "fp32"
    engine: str = "reference"
    memory: str = "fast"  # the rung that it ended on
    together: int = 1  # clips that shared its passes through the network
    measures: Measures | None = None
    verdicts: tuple[Verdict, ...] = ()
    moves: str = ""  # in one sentence
    tried: tuple[Try, ...] = ()  # where more than one clip was made
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        return {**dataclasses.asdict(self), "size": str(self.size), "warnings": list(self.warnings)}


@dataclass(frozen=True, eq=False)
class Clip:
    """A finished clip in memory; `save` writes it."""

    frames: Pixels  # [frames, rows, columns, 3]
    report: Report
    recipe: dict[str, Any]
    request: Request
    writer: Callable[[Clip, Path, Request], Path] = field(repr=False)
    path: Path | None = None  # where it was written, if it was
    draw: Draw | None = field(default=None, repr=False)
    others: tuple[Clip, ...] = field(default=(), repr=False)  # takes that were not chosen, the better first

    @property
    def images(self) -> list[Image]:
        """The frames as Pillow images."""
        from PIL import Image

        return [Image.fromarray(frame) for frame in self.frames]

    def save(self, path: str | Path, **knobs: Any) -> Path:
        """Write the clip; the format goes by the name. File knobs such as `play_fps` may be given."""
        return self.writer(self, Path(path), self.request.for_file(knobs))


@dataclass(frozen=True)
class Progress:
    """What a caller who watches is told: a stage, and how far it has come."""

    stage: str  # prepare | load | sample | decode | check | write | measure
    done: int
    total: int
    step: Step | None = None  # while sampling
    frame: torch.Tensor | None = None  # [C, H, W] in 0–1: the last one that was decoded
    of: str = ""  # which of several clips this is about


Watch = Callable[[Progress], None]
Publish = Callable[[Clip], Path]  # writes a clip and says where
