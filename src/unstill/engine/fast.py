"""The fast engine: the same frames as the reference in less time, by folded weights, one layout and fused kernels.

What looks at the picture, CLIP and the encoder, runs once a clip and is the reference's. It does not know how to fold.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unstill.artifacts import Plan
from unstill.engine.fast_decoder import FastDecoder
from unstill.engine.fast_unet import FastUNet
from unstill.engine.reference import ReferenceEngine
from unstill.model.weights import load_unet


class FastEngine(ReferenceEngine):
    """UNet and decoder folded; the rest as it is."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        rests = "cpu" if plan.request.offload else plan.device
        self.decoder = FastDecoder(self.vae.decoder.to("cpu")).to(rests)
        self.vae.decoder = nn.Identity()  # type: ignore[assignment]

    def _load_unet(self, plan: Plan, rests: str) -> nn.Module:
        # Folded on the CPU, where what becomes a table stays.
        return FastUNet(load_unet(plan.model, self.dtype, "cpu")).to(rests)

    def list_parts(self) -> list[nn.Module]:
        """List the networks."""
        return [*super().list_parts(), self.decoder]

    def _sample_less(self, plan: Plan) -> tuple[Plan, str] | None:
        return None

    def _decode_less(self, plan: Plan) -> tuple[Plan, str] | None:
        return super()._decode_less(plan) if plan.decode_chunk > 1 else None  # its buffer is on the device

    @torch.no_grad()
    def _decode(self, latents_FCHW: Tensor, plan: Plan) -> Tensor:
        latents = 1 / self.latent_scale * latents_FCHW.to(self.device, self.dtype)
        values = plan.decode_chunk * self.vae.config.block_out_channels[0] * plan.size.area_px
        with self._running(self.decoder):
            pixels_FCHW: Tensor = self.decoder(latents, values)
        return pixels_FCHW.float().cpu()
