"""The engine of the bundled model: its network finds depth and what moves, and the renderer moves the picture.

Nearness and what flows or sways are the network's mean answer, the same for every seed; how it flows and sways is sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from unstill.models.pocket.field import CELL_PX, PATCH, choose_patches, read_field, unpack
from unstill.models.pocket.network import IDS, KEYS, SIGMA_MAX, load_pocket_network
from unstill.models.pocket.renderer import Rendered, RenderOptions, render_clip
from unstill.models.pocket.speeds import speed_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREVIEW_FRAMES = 8
PREVIEW_PX = 320  # width of a preview; one takes a tenth of a second


class PocketEngine:
    """Eye, UNet and renderer on one device, in float32: they are small, and half precision saves nothing that shows."""

    def __init__(self, plan: Plan) -> None:
        self.device = torch.device(plan.device)
        self.network = load_pocket_network(plan.model.weights["checkpoint"][0].parent, plan.device)
        if self.device.type == "cpu":
            hasten(self.network.unet)
        self.schedule = Schedule.from_config(plan.model.configs["scheduler"])
        self.peak_bytes()

    def latent_shape(self, plan: Plan) -> tuple[int, int, int, int]:
        """Return the shape of what is sampled: one field, channels, rows, columns of patches."""
        return KEYS, self.network.config.latent_channels, *choose_patches(plan.size.height, plan.size.width)

    def embed(self, source_HWC: NDArray[np.uint8]) -> Tensor:
        """Look at the whole picture; return [1, 1, D]."""
        return self._look(read_pixels(source_HWC) * 2 - 1)[1][:, None]

    def encode(self, pixels_BCHW: Tensor) -> Tensor:
        """Return what is where in the picture."""
        return self._look(pixels_BCHW)[0]

    @torch.no_grad()
    def _look(self, pixels_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        size = tuple(side * PATCH * CELL_PX for side in choose_patches(*pixels_BCHW.shape[-2:]))
        small = F.interpolate(pixels_BCHW.to(self.device), size=size, mode="bilinear", antialias=True, align_corners=False)
        seen_BCHW, whole_BD = self.network.eye(small)
        return seen_BCHW, whole_BD

    def denoiser(self, embedding_BND: Tensor, latents_BCHW: Tensor, plan: Plan) -> Denoiser:
        """Bind the network to what it knows of these pictures."""
        asked = plan.request.guidance
        assert asked is not None
        guidance = guidance_over_frames(asked.first, asked.last, plan.request.guidance_shape, KEYS)
        return Denoiser(self._run, bind(embedding_BND, latents_BCHW), guidance)

    @torch.no_grad()
    def _run(self, x_BFCHW: Tensor, time: Tensor, context_BND: Tensor, added_ids_BI: Tensor) -> Tensor:
        velocity: Tensor = self.network.unet(x_BFCHW, time, context_BND, added_ids_BI)
        return velocity

    @torch.no_grad()
    def find_mean(self, picture_BCHW: Tensor) -> Tensor:
        """Return the mean of all fields that fit the picture, [KEYS, C, H, W]: what one step from nothing gives."""
        seen_BCHW, whole_BD = self._look(picture_BCHW * 2 - 1)
        denoise = Denoiser(self.network.unet, bind(whole_BD[:, None], seen_BCHW), torch.ones(KEYS))
        nothing = torch.zeros(1, KEYS, self.network.config.latent_channels, *seen_BCHW.shape[-2:], device=self.device)
        return denoise(nothing, torch.tensor(SIGMA_MAX))[0]

    def previewer(self, encoded_BCHW: Tensor, plan: Plan, image: PreparedImage) -> Callable[[Tensor], NDArray[np.uint8]]:
        """Return a function that draws a small clip of a field that is still being sampled."""
        picture_BCHW = read_pixels(image.canvas_HWC)
        scale = min(1.0, PREVIEW_PX / plan.size.width)
        small_CHW = F.interpolate(picture_BCHW, scale_factor=scale, mode="area")[0].to(self.device)
        mean_KCHW = None

        def draw(denoised_FCHW: Tensor) -> NDArray[np.uint8]:
            """Render a few small frames."""
            nonlocal mean_KCHW
            mean_KCHW = self.find_mean(picture_BCHW) if mean_KCHW is None else mean_KCHW
            rendered = render(small_CHW, mean_KCHW, denoised_FCHW, plan, PREVIEW_FRAMES)
            frames = torch.stack(list(rendered.frames)).cpu()
            shown: NDArray[np.uint8] = (frames * 255).round().byte().permute(0, 2, 3, 1).numpy()
            return shown

        return draw

    def decode(self, latents_FCHW: Tensor, plan: Plan, image: PreparedImage) -> Reel:
        """Move the picture, and what moves in it, as the field says."""
        picture_BCHW = read_pixels(image.canvas_HWC)
        mean_KCHW = self.find_mean(picture_BCHW)
        rendered = render(picture_BCHW[0].to(self.device), mean_KCHW, latents_FCHW.float(), plan, plan.frames)
        last = plan.frames if plan.request.loop == "seamless" else max(plan.frames - 1, 1)

        def draw(place: float) -> Tensor:
            return rendered.drawing.draw(place / last).cpu()

        said = str(rendered.said)
        return Reel(_scale(rendered.frames), rendered.view, (said,) if said else (), draw)

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


def read_pixels(picture_HWC: NDArray[np.uint8]) -> Tensor:
    """Return a picture as float32 in 0–1, [1, C, H, W]."""
    return torch.from_numpy(picture_HWC.copy()).permute(2, 0, 1)[None].float() / 255


def bind(embedding_BND: Tensor, seen_BCHW: Tensor) -> Conditions:
    """Return what the network is told of pictures; rate, motion and noise, which SVD's UNet takes, are 0."""
    return Conditions(embedding_BND, seen_BCHW, seen_BCHW.new_zeros(len(seen_BCHW), IDS))


def render(picture_CHW: Tensor, mean_KCHW: Tensor, sampled_KCHW: Tensor, plan: Plan, frames: int) -> Rendered:
    """Render so many frames over the clip's whole way."""
    asked = plan.request
    assert asked.motion is not None and asked.scene is not None
    options = RenderOptions(
        frames=frames,
        camera=asked.camera,
        speed_px=speed_of(asked.motion) * (plan.frames - 1) / max(frames - 1, 1),
        scene=asked.scene / 100,
        arrows=asked.move.each if asked.move else (),
        loop=asked.loop == "seamless",
        seed=plan.seed,
    )
    device = picture_CHW.device
    field = read_field(unpack(mean_KCHW.to(device))[0], unpack(sampled_KCHW.to(device))[0])
    return render_clip(picture_CHW, field, options)


@torch.no_grad()
def _scale(frames: Iterator[Tensor]) -> Iterator[Tensor]:
    for frame_CHW in frames:
        yield (frame_CHW * 2 - 1)[None].cpu()
