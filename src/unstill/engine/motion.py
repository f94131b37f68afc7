"""The engine of the bundled model: a field of motion is sampled, and the picture's own pixels are moved along it.

It does not know what a step is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unstill.artifacts import Plan, PreparedImage, Rung
from unstill.engine import Reel
from unstill.engine.device import peak_bytes, wait
from unstill.engine.on_cpu import hasten
from unstill.model.denoiser import Conditions, Denoiser, Schedule, guidance_over_frames
from unstill.model.field import (
    AREA_PX,
    CELL_PX,
    HINTS,
    LAST,
    PATCH,
    WORDS,
    choose_patches,
    load_field_network,
    motion_of,
    speed_of,
    unpack,
)
from unstill.render.film import film
from unstill.render.motion import Motion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARROW_CELLS = 2.0  # radius of what an arrow holds; training drew from 0.6 to 6
SHOWN = 0.3  # how strongly a preview is coloured


class MotionEngine:
    """Eye and UNet on one device, in float32: they are small, and half precision saves nothing that shows."""

    def __init__(self, plan: Plan) -> None:
        self.device = torch.device(plan.device)
        self.network = load_field_network(plan.model, plan.device)
        if self.device.type == "cpu":
            hasten(self.network.unet)
        self.schedule = Schedule.from_config(plan.model.configs["scheduler"])
        self.peak_bytes()

    def latent_shape(self, plan: Plan) -> tuple[int, int, int, int]:
        """Say what a clip is while it is sampled: key moments, channels, rows, columns."""
        config = self.network.config
        return config.keys, config.latent_channels, *choose_patches(plan.size.height, plan.size.width)

    @torch.no_grad()
    def embed(self, source_HWC: NDArray[np.uint8]) -> Tensor:
        """Look at the whole picture; return [1, 1, D]."""
        pixels_BCHW = torch.from_numpy(source_HWC).to(self.device).permute(2, 0, 1)[None].float() / 127.5 - 1
        whole_BD: Tensor = self.network.eye(self._shrink(pixels_BCHW))[1]
        return whole_BD[:, None]

    @torch.no_grad()
    def encode(self, pixels_BCHW: Tensor) -> Tensor:
        """Say what is where in the picture."""
        seen_BCHW: Tensor = self.network.eye(self._shrink(pixels_BCHW.to(self.device)))[0]
        return seen_BCHW

    def _shrink(self, pixels_BCHW: Tensor) -> Tensor:
        rows, columns = (side * PATCH * CELL_PX for side in choose_patches(*pixels_BCHW.shape[-2:]))
        return F.interpolate(pixels_BCHW, size=(rows, columns), mode="bilinear", antialias=True, align_corners=False)

    @torch.no_grad()
    def denoiser(self, embedding_BND: Tensor, latents_BCHW: Tensor, plan: Plan) -> Denoiser:
        """Bind the network to what it is told about this clip."""
        asked, last, clips = plan.request, plan.frames - 1, len(latents_BCHW)
        assert asked.guidance is not None and asked.fps is not None and asked.motion is not None and asked.noise is not None
        word_B = torch.tensor([WORDS.index(asked.camera)], device=self.device).expand(clips)
        told = [asked.fps * LAST / last, motion_of(speed_of(asked.motion) * last / LAST), asked.noise]
        hints = self._draw_hints(plan, latents_BCHW).expand(clips, -1, -1, -1)
        beside = self.network.condition(latents_BCHW, hints, word_B)
        context = self.network.embed(embedding_BND[:, 0], word_B)
        guidance = guidance_over_frames(
            asked.guidance.first, asked.guidance.last, asked.guidance_shape, self.network.config.keys
        )
        added = torch.tensor([told], device=self.device).expand(clips, -1)
        return Denoiser(self._run, Conditions(context, beside, added), guidance)

    def _draw_hints(self, plan: Plan, seen_BCHW: Tensor) -> Tensor:
        """Mark where arrows begin, and the velocity they want there."""
        rows, columns = (side * PATCH for side in seen_BCHW.shape[-2:])
        hints = torch.zeros(1, HINTS, rows, columns, device=self.device)
        y, x = torch.meshgrid(*(torch.arange(n, device=self.device) + 0.5 for n in (rows, columns)), indexing="ij")
        assert plan.request.motion is not None
        width_px, speed_px = measure_width(plan), max(speed_of(plan.request.motion), 0.1)
        for arrow in plan.request.move.each if plan.request.move else ():
            there = (x - arrow.x * columns) ** 2 + (y - arrow.y * rows) ** 2 < ARROW_CELLS**2
            way = (arrow.dx, arrow.dy * plan.size.height / plan.size.width)
            wanted = [1.0, *(part * width_px / (plan.frames - 1) / speed_px for part in way)]
            hints = torch.where(there, torch.tensor(wanted, device=self.device)[None, :, None, None], hints)
        return hints

    @torch.no_grad()
    def _run(self, x_BFCHW: Tensor, time: Tensor, context_BND: Tensor, added_ids_BI: Tensor) -> Tensor:
        velocity: Tensor = self.network.unet(x_BFCHW, time, context_BND, added_ids_BI)
        return velocity

    def fit_colours(self, encoded_BCHW: Tensor, pixels_BCHW: Tensor) -> Tensor:
        """Show motion to the right as red, down as green, and nearness as blue."""
        fit = torch.full((self.network.config.latent_channels + 1, 3), 0.0)
        for channel in range(3):
            fit[channel * PATCH**2 : (channel + 1) * PATCH**2, channel] = SHOWN / PATCH**2
        fit[-1] = 0.5
        return fit

    def decode(self, latents_FCHW: Tensor, plan: Plan, image: PreparedImage) -> Reel:
        """Move the picture's pixels along the field."""
        picture_CHW = torch.from_numpy(image.canvas_HWC.copy()).to(self.device).permute(2, 0, 1).float() / 255
        motion, speed = read_motion(latents_FCHW.float(), plan)
        made = film(picture_CHW, motion, plan.frames, speed)
        return Reel(_scale(made.frames), made.view)

    def widened(self) -> AbstractContextManager[None]:
        """Change nothing: it is float32."""
        return nullcontext()

    def arrange(self, rung: Rung) -> None:
        """Change nothing: it is as small as it gets."""

    def wait(self) -> None:
        """Return when the device has done what it was given."""
        wait(self.device)

    def peak_bytes(self) -> int | None:
        """Return the most device memory held since the last call; on a CPU the most this process ever held."""
        return peak_bytes(self.device)


def read_motion(latents_KCHW: Tensor, plan: Plan) -> tuple[Motion, float]:
    """Read the field, velocities in widths of the picture and nearness, and the speed that was asked for, likewise."""
    assert plan.request.motion is not None
    field_KCHW = unpack(latents_KCHW)
    speed = speed_of(plan.request.motion) / measure_width(plan)
    return Motion(field_KCHW[:, :2] * speed, field_KCHW[:, 2].mean(dim=0)), speed


def measure_width(plan: Plan) -> float:
    """Give the width that the clip would have at the area of 1024x576."""
    return math.sqrt(AREA_PX * plan.size.width / plan.size.height)


@torch.no_grad()
def _scale(frames: Iterator[Tensor]) -> Iterator[Tensor]:
    for frame_CHW in frames:
        yield (frame_CHW * 2 - 1)[None].cpu()
