"""The fast engine: the same frames as the reference in less time, by folded weights, one layout and fused kernels.

What looks at the picture, CLIP and the encoder, runs once a clip and is the reference's. It does not know how to fold.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unstill.artifacts import Plan, Rung
from unstill.engine.fast_decoder import FastDecoder
from unstill.engine.fast_unet import FastUNet
from unstill.engine.parked import Lot, decode_parked
from unstill.engine.reference import DTYPES, ReferenceEngine
from unstill.model.denoiser import Denoiser
from unstill.model.weights import load_unet


class FastEngine(ReferenceEngine):
    """UNet and decoder folded; the rest as it is."""

    network: FastUNet
    decoder: FastDecoder
    _lot: Lot | None = None

    def _load(self, plan: Plan, rests: str) -> None:
        super()._load(plan, rests)
        self.decoder = FastDecoder(self.vae.decoder.to("cpu")).to(rests)
        self.vae.decoder = nn.Identity()  # type: ignore[assignment]

    def _load_unet(self, plan: Plan, rests: str) -> nn.Module:
        # Folded on the CPU, where what becomes a table stays.
        return FastUNet(load_unet(plan.model, self.dtype, "cpu", mapped=plan.rung.on_disk)).to(rests)

    def list_parts(self) -> dict[nn.Module, list[nn.Module]]:
        """List the networks, the UNet with the blocks that its weights may come in."""
        return {self.tower: [], self.vae: [], self.network: self.network.list_units(), self.decoder: []}

    def _take_turns(self, rung: Rung) -> None:
        self._lot = self._lot if rung.parked else None
        self.network.take_turns(splits=rung.splits, parts=rung.parts)

    @torch.no_grad()
    def _run_unet(self, x_BFCHW: Tensor, time: Tensor, context_BND: Tensor, added_ids_BI: Tensor) -> Tensor:
        with self._running(self.network):
            velocity: Tensor = self.network(x_BFCHW, time, context_BND, added_ids_BI)  # it takes turns itself
        return velocity

    def denoiser(self, embedding_BND: Tensor, latents_BCHW: Tensor, plan: Plan) -> Denoiser:
        """Bind the network to what it is told about this clip."""
        if self.dtype == DTYPES[plan.dtype]:  # not for one step that is repeated in float32
            self._find_lot(plan)  # made ready while steps are taken
        return super().denoiser(embedding_BND, latents_BCHW, plan)

    def _find_lot(self, plan: Plan) -> Lot | None:
        if not plan.rung.parked:
            return None
        _, channels, rows, columns = self.latent_shape(plan)
        wanted = (plan.rung.parked, self.decoder.find_largest(rows, columns, channels), self.dtype)
        if self._lot is None or self._lot.wanted != wanted:
            self._lot = None  # the old one goes before the new one comes
            self._lot = Lot(*wanted, self.device)
        return self._lot

    @torch.no_grad()
    def _decode(self, latents_FCHW: Tensor, plan: Plan) -> Tensor:
        latents = 1 / self.latent_scale * latents_FCHW.to(self.device, self.dtype)
        values = plan.decode_chunk * self.vae.config.block_out_channels[0] * plan.size.area_px
        with self._running(self.decoder):
            lot = self._find_lot(plan)
            if lot is not None:
                return decode_parked(self.decoder, latents, values, lot).float().cpu()
            pixels_FCHW: Tensor = self.decoder(latents, values)
        return pixels_FCHW.float().cpu()
