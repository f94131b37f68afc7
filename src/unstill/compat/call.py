"""One call of the pipeline: diffusers' arguments read and checked, its draws in its order, its result in its form.

It does not know how a model is loaded or run.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unstill.artifacts import Plan, PreparedImage, Report
from unstill.engine import Engine
from unstill.engine.reference import DTYPES
from unstill.errors import RequestError
from unstill.request import ALIASES, KNOBS, PRESETS
from unstill.sample import Draws, draw
from unstill.values import Size, show

OUTPUT_TYPES = ("pil", "np", "pt", "latent")
Callback = Callable[[Any, int, Tensor, dict[str, Tensor]], Mapping[str, Tensor] | None]


@dataclass(frozen=True, eq=False)
class Arguments:
    """The arguments of the diffusers pipeline, in its order and with its defaults."""

    image: Any
    height: int | None = 576
    width: int | None = 1024
    num_frames: int | None = None
    num_inference_steps: int = 25
    sigmas: Sequence[float] | None = None
    min_guidance_scale: float = 1.0
    max_guidance_scale: float = 3.0
    fps: int = 7
    motion_bucket_id: int = 127
    noise_aug_strength: float = 0.02
    decode_chunk_size: int | None = None
    num_videos_per_prompt: int | None = 1
    generator: torch.Generator | list[torch.Generator] | None = None
    latents: Any = None
    output_type: str = "pil"
    callback_on_step_end: Callback | None = None
    callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",)
    return_dict: bool = True

    @property
    def clips_each(self) -> int:
        """How many clips each picture gets."""
        return 1 if self.num_videos_per_prompt is None else self.num_videos_per_prompt


SIGNATURE = inspect.signature(Arguments)
# Knobs of ours that a call may set beside them; the pipeline's own methods choose model and machine, exports the file.
EXTRA = {name for name, knob in KNOBS.items() if knob.group in ("motion", "sampling", "picture")}
EXTRA |= {"preset", "decode_chunk", "forward_chunk"}
ACCEPTED = {*SIGNATURE.parameters, *EXTRA, *(alias for alias, name in ALIASES.items() if name in EXTRA)}


def read_arguments(given: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Arguments, dict[str, Any]]:
    """Read a call into its arguments and the knobs that were set, by whatever name."""
    for name in keywords:
        if name not in ACCEPTED:
            near = difflib.get_close_matches(name, sorted(ACCEPTED), n=1)
            raise TypeError(f"unexpected keyword argument {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    bound = SIGNATURE.bind(*given, **{name: value for name, value in keywords.items() if name in SIGNATURE.parameters})
    arguments = Arguments(**bound.arguments)
    extra = {name: value for name, value in keywords.items() if name not in SIGNATURE.parameters}
    knobs = {name: value for name, value in bound.arguments.items() if name in ALIASES or name in KNOBS}
    return arguments, {**knobs, **extra}


def complete(arguments: Arguments, knobs: dict[str, Any]) -> dict[str, Any]:
    """Add what diffusers takes for granted: a size that is not the picture's, and steps counted by sigmas."""
    whole = {name: value for name, value in knobs.items() if value is not None}
    area = PRESETS.get(str(whole.get("preset", "default")), PRESETS["default"]).area
    if "size" not in whole:
        whole = {"width": area.width, "height": area.height, **whole}
    if arguments.sigmas is not None:
        whole["num_inference_steps"] = max(1, np.size(arguments.sigmas) - 1)
    return whole


def list_problems(arguments: Arguments, knobs: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with the arguments that are no knobs."""
    problems = []
    count, kind = arguments.num_videos_per_prompt, arguments.output_type
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 64):
        problems.append(f"num_videos_per_prompt must be a whole number from 1 to 64, not {show(count)}")
    if kind not in OUTPUT_TYPES:
        problems.append(f"output_type must be one of {', '.join(OUTPUT_TYPES)}, not {show(kind)}")
    if other := [name for name in arguments.callback_on_step_end_tensor_inputs if name != "latents"]:
        problems.append(f"callback_on_step_end_tensor_inputs can hold latents, not {', '.join(map(show, other))}")
    if knobs.get("seed") is not None and (arguments.generator is not None or arguments.latents is not None):
        problems.append("seed, generator and latents all say what to begin with: give seed alone, or the others")
    if not isinstance(arguments.latents, Tensor | None):
        problems.append(f"latents must be a tensor, not {type(arguments.latents).__name__}")
    if arguments.sigmas is not None:
        problems.extend(_list_sigma_problems(arguments.sigmas))
    return problems


def _list_sigma_problems(sigmas: Sequence[float]) -> list[str]:
    wanted = "sigmas must be two or more falling noise levels that end at 0 or above"
    try:
        levels = np.asarray(sigmas, dtype=np.float64)
    except (TypeError, ValueError):
        return [f"{wanted}, not {show(sigmas)}"]
    falls = levels.ndim == 1 and len(levels) >= 2 and bool(np.isfinite(levels).all() and (np.diff(levels) < 0).all())
    return [] if falls and levels[-1] >= 0 else [f"{wanted}, not {show(levels.tolist())}"]


def draw_clips(arguments: Arguments, plan: Plan, engine: Engine, pictures: int) -> list[Draws]:
    """Draw the noise of every clip as diffusers does: that of all pictures, then the latents of all clips.

    Latents are drawn in the model's dtype: half precision takes other numbers off the stream than float32 does
    where their count is not a multiple of 16.
    """
    clips, each = pictures * arguments.clips_each, arguments.clips_each
    height, width = plan.size.height, plan.size.width
    generators = Generators(arguments.generator, clips, torch.device(plan.device))
    noise = generators.draw(pictures, (3, height, width), torch.float32)
    shape = engine.latent_shape(plan)
    if arguments.latents is None:
        latents = generators.draw(clips, shape, DTYPES[plan.dtype])
    elif tuple(arguments.latents.shape) == (clips, *shape):
        latents = arguments.latents.detach().float().cpu()
    else:
        raise RequestError(f"latents must have the shape {(clips, *shape)}, not {tuple(arguments.latents.shape)}")
    return [Draws(noise[i // each : i // each + 1], latents[i : i + 1]) for i in range(clips)]


def draw_seeded(arguments: Arguments, plan: Plan, engine: Engine, pictures: int, seed: int) -> list[Draws]:
    """Draw from one seed for each clip, as `animate` does: the seed, and the numbers after it for more clips of a picture."""
    each = [draw(plan, engine, torch.Generator().manual_seed(seed + number)) for number in range(arguments.clips_each)]
    return each * pictures


def warn_of_crops(images: Sequence[PreparedImage], size: Size) -> list[str]:
    """Say that a picture was cropped, where diffusers would have distorted it."""
    cropped = [i for i in images if i.source_HWC.shape[:2] != (i.original.height, i.original.width)]
    return [
        f"the picture is {image.original}, the clip {size}: it was cropped to the clip's shape, where diffusers stretches it; "
        'fit="stretch" gives the old result, fit="pad" keeps all of the picture'
        for image in cropped
    ]


class Generators:
    """Where normal numbers come from: one generator, one for each clip, or torch's own of the device."""

    def __init__(self, generator: Any, clips: int, device: torch.device) -> None:
        several = list(generator) if isinstance(generator, (list, tuple)) else [generator]
        if not all(one is None or isinstance(one, torch.Generator) for one in several):
            raise RequestError(f"generator must be a torch.Generator or a list of them, not {show(generator)}")
        if len(several) not in (1, clips):
            raise RequestError(f"{len(several)} generators, but {clips} clips: give one generator, or one for each clip")
        self._generators, self._device = several, device

    def draw(self, count: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Draw so many tensors of a shape; return them rounded to the dtype, in float32 on the CPU."""
        one = self._generators[0]
        if len(self._generators) == 1:
            return torch.randn((count, *shape), generator=one, device=self._place(one), dtype=dtype).float().cpu()
        drawn = [torch.randn((1, *shape), generator=g, device=self._place(g), dtype=dtype) for g in self._generators[:count]]
        return torch.cat([one.float().cpu() for one in drawn])

    def _place(self, generator: torch.Generator | None) -> torch.device:
        return self._device if generator is None else generator.device


@dataclass
class StableVideoDiffusionPipelineOutput:
    """What a call returns: `frames[0]` is the first clip."""

    frames: Any  # list of lists of Pillow images; array [B, F, H, W, C]; tensor [B, F, C, H, W]
    reports: tuple[Report, ...] = dataclasses.field(default=(), repr=False)  # ours: one of each clip; none for latents

    def __getitem__(self, key: int | str) -> Any:
        """Return the frames by the name or number that diffusers' output knows them under."""
        if key in ("frames", 0):
            return self.frames
        raise KeyError(f"the output holds frames, not {show(key)}")

    def to_tuple(self) -> tuple[Any]:
        """Return the frames in a tuple."""
        return (self.frames,)


def shape_frames(clips: list[Tensor], kind: str, device: str) -> Any:
    """Give decoded clips, each [F, C, H, W] in 0–1, the form that was asked for."""
    if kind == "pil":
        return [[Image.fromarray(frame) for frame in _to_bytes(clip)] for clip in clips]
    if len({clip.shape for clip in clips}) > 1:
        raise RequestError("the clips differ in size, so they make no array", hint='output_type="pil"')
    stacked = torch.stack(clips)
    return stacked.to(device) if kind == "pt" else stacked.movedim(2, -1).contiguous().numpy()


def _to_bytes(clip_FCHW: Tensor) -> Any:
    return (clip_FCHW * 255).round().to(torch.uint8).movedim(1, -1).contiguous().numpy()
