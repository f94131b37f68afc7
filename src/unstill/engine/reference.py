"""The reference engine: the model run plainly, operation for operation as diffusers does. It is the truth.

It does not know what a step, a chunk or a clip is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from unstill.artifacts import Plan, PreparedImage
from unstill.engine import Reel
from unstill.engine.decoder import Bench, decode_by_layers
from unstill.engine.device import peak_bytes, wait
from unstill.engine.offload import Places
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
        rests = "cpu" if plan.request.offload else plan.device
        self.tower = load_image_tower(plan.model, self.dtype, rests)
        self.vae = load_vae(plan.model, self.dtype, rests)
        self.unet = self._load_unet(plan, rests)
        self.places = Places(self.device, offload=plan.request.offload)
        self.plan = plan
        self.schedule = Schedule.from_config(plan.model.configs.get("scheduler", {}))
        self.latent_scale = self.vae.scaling_factor
        extractor = plan.model.configs.get("feature_extractor", {})
        self.clip_mean, self.clip_std = extractor.get("image_mean", CLIP_MEAN), extractor.get("image_std", CLIP_STD)
        self.peak_bytes()

    def _load_unet(self, plan: Plan, rests: str) -> nn.Module:
        unet = load_unet(plan.model, self.dtype, rests)
        unet.set_forward_chunk(plan.request.forward_chunk)
        return unet

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
        with self._running(self.unet):
            velocity: Tensor = self.unet(x_BFCHW, time, context_BND, added_ids_BI)
        return velocity

    def latent_shape(self, plan: Plan) -> tuple[int, int, int, int]:
        """Say what a clip is while it is sampled: frames, channels, rows, columns."""
        size = plan.size
        return plan.frames, self.vae.latent_channels, size.height // self.vae.downscale, size.width // self.vae.downscale

    def fit_colours(self, encoded_BCHW: Tensor, pixels_BCHW: Tensor) -> Tensor:
        """Fit the affine map from latents to colours on the picture itself, whose latents are known.

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
            home = torch.device("cpu") if plan.parks else self.device
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

    def list_parts(self) -> list[nn.Module]:
        """List the networks."""
        return [self.tower, self.vae, self.unet]

    def step_down(self, stage: str, plan: Plan) -> tuple[Plan, str] | None:
        """Arrange to do a stage with less memory: parts in turn, then fewer frames at once, then frames in host memory."""
        if not self.places.offload and self.device.type != "cpu":
            self.places.clear(self.list_parts())
            return plan, "parts of the model take turns on the device"
        return self._decode_less(plan) if stage == "decode" else self._sample_less(plan)

    def _sample_less(self, plan: Plan) -> tuple[Plan, str] | None:
        chunk = plan.request.forward_chunk or plan.frames
        if chunk == 1:
            return None
        chunk = max(1, chunk // 5)
        self._set_forward_chunk(chunk)
        return _with_knobs(plan, forward_chunk=chunk), f"feed-forwards run {chunk} frames at a time"

    def _decode_less(self, plan: Plan) -> tuple[Plan, str] | None:
        if plan.decode_chunk > 1:
            chunk = max(1, min(plan.decode_chunk, plan.frames) // 4)
            return replace(plan, decode_chunk=chunk), f"{chunk} of {plan.frames} frames at a time"
        if not plan.parks and self.device.type != "cpu":
            return replace(plan, parks=True), "what is decoded waits in host memory"
        return None

    def restore(self) -> None:
        """Take back every step down."""
        asked = self.plan.request
        if not asked.offload and self.places.offload:
            self.places.fill(self.list_parts())
        self._set_forward_chunk(asked.forward_chunk)

    def _set_forward_chunk(self, chunk: int | None) -> None:
        if isinstance(self.unet, UNet):
            self.unet.set_forward_chunk(chunk)

    @contextmanager
    def widened(self) -> Iterator[None]:
        """Run in float32 for a while: halves become floats and halves again without loss."""
        before = self.dtype
        try:
            self.dtype = torch.float32
            for part in self.list_parts():
                part.to(torch.float32)
            yield
        finally:
            self.dtype = before
            for part in self.list_parts():
                part.to(before)

    def wait(self) -> None:
        """Return when the device has done what it was given."""
        wait(self.device)

    def peak_bytes(self) -> int | None:
        """Return the most device memory held since the last call; on a CPU the most this process ever held."""
        return peak_bytes(self.device)


def _with_knobs(plan: Plan, **knobs: object) -> Plan:
    return replace(plan, request=plan.request.replace(**knobs))


# Of OpenAI's CLIP, used by every SVD checkpoint; for single files that come without preprocessor_config.json.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
