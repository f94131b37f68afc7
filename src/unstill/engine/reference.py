"""The reference engine: the model run plainly, operation for operation as diffusers does. It is the truth.

It does not know what a step, a chunk or a clip is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from unstill.artifacts import Plan, PreparedImage, Rung
from unstill.engine import Reel
from unstill.engine.decoder import Bench, decode_by_layers
from unstill.engine.device import peak_bytes, spare_gaps, wait
from unstill.engine.places import Places, list_tensors
from unstill.model.clip import clip_pixels
from unstill.model.denoiser import Conditions, Denoiser, Schedule, guidance_over_frames
from unstill.model.unet import UNet
from unstill.model.weights import load_image_tower, load_unet, load_vae

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


class ReferenceEngine:
    """UNet, VAE and CLIP on one device, in one dtype."""

    def __init__(self, plan: Plan) -> None:
        self.device, self.dtype = torch.device(plan.device), DTYPES[plan.dtype]
        self._load(plan, "cpu" if plan.rung.swaps else plan.device)
        self.places, self.plan = Places(self.device), plan
        self.schedule = Schedule.from_config(plan.model.configs.get("scheduler", {}))
        self.latent_scale = self.vae.scaling_factor
        extractor = plan.model.configs.get("feature_extractor", {})
        self.clip_mean, self.clip_std = extractor.get("image_mean", CLIP_MEAN), extractor.get("image_std", CLIP_STD)
        self.arrange(plan.rung)

    def _load(self, plan: Plan, rests: str) -> None:
        mapped = plan.rung.on_disk  # until they are laid out in files of their own
        self.tower = load_image_tower(plan.model, self.dtype, rests, mapped=mapped)
        self.vae = load_vae(plan.model, self.dtype, rests, mapped=mapped)
        self.unet = self.network = self._load_unet(plan, rests)  # what runs may be put in the place of what holds the weights

    def _load_unet(self, plan: Plan, rests: str) -> nn.Module:
        return load_unet(plan.model, self.dtype, rests, mapped=plan.rung.on_disk)

    @torch.no_grad()
    def embed(self, source_HWC: NDArray[np.uint8]) -> Tensor:
        """Look at the picture with CLIP; return [1, 1, D]."""
        pixels = clip_pixels(source_HWC, self.clip_mean, self.clip_std, self.tower.config.image_size)
        with self._running(self.tower):
            embeds_BD: Tensor = self.tower(pixels.to(self.device, self.dtype))
        return embeds_BD[:, None]

    @torch.no_grad()
    def encode(self, pixels_BCHW: Tensor) -> Tensor:
        """Encode float32 pixels in [−1, 1] into unscaled latents."""
        with self._running(self.vae), self._upcast_vae() as dtype:
            return self.vae.encode(pixels_BCHW.to(self.device, dtype)).to(self.dtype)

    def denoiser(self, embedding_BND: Tensor, latents_BCHW: Tensor, plan: Plan) -> Denoiser:
        """Bind the network to what it is told about this clip."""
        asked = plan.request
        assert asked.guidance is not None and asked.fps is not None
        ids = [[asked.fps - 1, asked.motion, asked.noise]]  # SVD was trained on fps − 1
        added = torch.tensor(ids, dtype=self.dtype, device=self.device).expand(latents_BCHW.shape[0], -1)
        guidance = guidance_over_frames(asked.guidance.first, asked.guidance.last, asked.guidance_shape, plan.frames)
        return Denoiser(self._run_unet, Conditions(embedding_BND, latents_BCHW, added), guidance)

    @torch.no_grad()
    def _run_unet(self, x_BFCHW: Tensor, time: Tensor, context_BND: Tensor, added_ids_BI: Tensor) -> Tensor:
        with self._running(self.network):
            if not self.rung.splits or len(x_BFCHW) == 1:
                velocity: Tensor = self.unet(x_BFCHW, time, context_BND, added_ids_BI)
                return velocity
            turns = zip(*(given.chunk(len(given)) for given in (x_BFCHW, context_BND, added_ids_BI)), strict=True)
            return torch.cat([self.unet(x, time, context, ids) for x, context, ids in turns])

    def latent_shape(self, plan: Plan) -> tuple[int, int, int, int]:
        """Say what a clip is while it is sampled: frames, channels, rows, columns."""
        size = plan.size
        return plan.frames, self.vae.latent_channels, size.height // self.vae.downscale, size.width // self.vae.downscale

    def previewer(self, encoded_BCHW: Tensor, plan: Plan, image: PreparedImage) -> Callable[[Tensor], NDArray[np.uint8]]:
        """Return a function that shows each latent cell as one pixel."""
        fit = self.fit_colours(encoded_BCHW, torch.from_numpy(image.canvas_HWC.copy()).permute(2, 0, 1)[None] / 127.5 - 1)

        def draw(denoised_FCHW: Tensor) -> NDArray[np.uint8]:
            colours = denoised_FCHW.float().cpu().movedim(1, -1) @ fit[:-1] + fit[-1]
            shown: NDArray[np.uint8] = (colours.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
            return shown

        return draw

    def fit_colours(self, encoded_BCHW: Tensor, pixels_BCHW: Tensor) -> Tensor:
        """Fit the affine map [C + 1, 3] from latents to colours in 0–1 on the picture itself, whose latents are known.

        One least-squares problem over all cells; no table of somebody's VAE is needed.
        """
        latents = encoded_BCHW * self.latent_scale
        cells = (latents.shape[-2], latents.shape[-1])
        colours = torch.nn.functional.adaptive_avg_pool2d(pixels_BCHW, cells)[0].flatten(1).T * 0.5 + 0.5
        known = latents[0].float().cpu().flatten(1).T
        known = torch.cat([known, torch.ones(len(known), 1)], dim=1)
        fit: Tensor = torch.linalg.lstsq(known, colours, driver="gelsd").solution
        return fit

    def decode(self, latents_FCHW: Tensor, plan: Plan, image: PreparedImage) -> Reel:
        """Decode all frames at once, or layer by layer if the plan says so."""
        return Reel(iter([self._decode(latents_FCHW, plan)]))

    @torch.no_grad()
    def _decode(self, latents_FCHW: Tensor, plan: Plan) -> Tensor:
        latents = 1 / self.latent_scale * latents_FCHW.to(self.device, self.dtype)
        with self._running(self.vae):
            if plan.decode_chunk >= plan.frames:
                return self.vae.decode(latents, latents.shape[0]).float().cpu()
            values = plan.decode_chunk * self.vae.config.block_out_channels[0] * plan.size.area_px
            home = torch.device("cpu") if plan.rung.parked else self.device
            return decode_by_layers(self.vae.decoder, latents, Bench(values, self.device, home)).float().cpu()

    @contextmanager
    def _running(self, part: nn.Module) -> Iterator[None]:
        """Have the part on the device, and float32 mean float32: cuDNN alone rounds its inputs to 10 bits (TF32)."""
        cudnn = torch.backends.cudnn
        kept = {"enabled": cudnn.enabled, "benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
        exact = cudnn.flags(**kept, allow_tf32=False) if self.device.type == "cuda" else nullcontext()
        with self.places.running(part), exact:
            yield

    @contextmanager
    def _upcast_vae(self) -> Iterator[torch.dtype]:
        """Encode in float32 where fp16 overflows; the VAE is in its own dtype again afterwards, whatever happens."""
        upcast = self.dtype == torch.float16 and self.vae.force_upcast
        if not upcast:
            yield self.dtype
            return
        try:
            self.vae.to(torch.float32)
            yield torch.float32
        finally:
            self.vae.to(self.dtype)

    def list_parts(self) -> dict[nn.Module, list[nn.Module]]:
        """List the networks, the UNet with the blocks that its weights may come in."""
        assert isinstance(self.network, UNet)
        return {self.tower: [], self.vae: [], self.network: self.network.list_units()}

    def arrange(self, rung: Rung) -> None:
        """Hold the model as a rung says."""
        if rung.swaps:
            spare_gaps(self.device)
            self.places.swap(self.list_parts(), rung.window_bytes, on_disk=rung.on_disk)
        elif self.places.swaps:
            self.places.stay(self.list_parts())
        self.rung = rung
        self._take_turns(rung)
        self.peak_bytes()  # what was held before is no part of the clip

    def _take_turns(self, rung: Rung) -> None:
        assert isinstance(self.network, UNet)
        self.network.set_forward_chunk(rung.forward_chunk)

    @contextmanager
    def widened(self, dtype: torch.dtype = torch.float32) -> Iterator[None]:
        """Run in a wider dtype for a while; afterwards every tensor is the one that it was."""
        before, swaps = self.dtype, self.places.swaps
        parts = self.list_parts()
        self.places.clear()
        tensors = [tensor for network in parts for tensor in list_tensors(network)]
        kept, places = [tensor.data for tensor in tensors], self.places
        try:
            self.dtype = dtype
            for tensor in tensors:
                tensor.data = tensor.data.to(dtype)
            if swaps:
                window_bytes = self.rung.window_bytes * dtype.itemsize // before.itemsize
                self.places = Places(self.device)
                self.places.swap(parts, window_bytes, on_disk=self.rung.on_disk)
            yield
        finally:
            self.dtype = before
            self.places.clear()
            self.places = places
            for tensor, data in zip(tensors, kept, strict=True):
                tensor.data = data

    def wait(self) -> None:
        """Return when the device has done what it was given."""
        wait(self.device)

    def peak_bytes(self) -> int | None:
        """Return the most device memory held since the last call; on a CPU the most this process ever held."""
        return peak_bytes(self.device)


# Of OpenAI's CLIP, used by every SVD checkpoint; for single files that come without preprocessor_config.json.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
