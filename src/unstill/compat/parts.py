"""What stands for the parts of a diffusers pipeline: unet, vae, image_encoder, scheduler, feature_extractor.

Each carries its config and the switches that scripts touch; the networks themselves belong to the engine. It does
not know how a clip is made.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from unstill.engine.reference import DTYPES
from unstill.model.denoiser import Schedule


@dataclass
class Settings:
    """What a script has asked for with its switches."""

    device: str = "cpu"  # where a diffusers pipeline is before `to`
    dtype: str = "fp32"
    offload: bool = False
    forward_chunk: int | None = None

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype in torch's terms."""
        return DTYPES[self.dtype]


class Config(SimpleNamespace):
    """The entries of a config, as attributes and as items."""

    def __getitem__(self, name: str) -> Any:
        return vars(self)[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an entry, or the default."""
        return vars(self).get(name, default)

    def keys(self) -> Any:
        """List the entries, so that `dict(config)` works."""
        return vars(self).keys()


def tell(message: str, above: int = 1) -> None:
    """Say something at the script's own line, so many calls above; Python shows it once for each line."""
    warnings.warn(message, stacklevel=above + 2)


def explain_absence(owner: object, what: str, name: str) -> AttributeError:
    """Make the error for a name that is not there, with what is."""
    there = sorted(entry for entry in {*dir(owner)} - {*dir(nn.Module)} | {"to"} if not entry.startswith("_"))
    near = difflib.get_close_matches(name, there, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return AttributeError(f"unstill's {what} has no {name!r}{hint}; it has {', '.join(there)}")


class Part(nn.Module):
    """One network of the pipeline."""

    def __init__(self, name: str, config: Mapping[str, Any], settings: Settings) -> None:
        super().__init__()
        self.name, self.config, self.settings = name, Config(**config), settings

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the network is run in."""
        return self.settings.torch_dtype

    @property
    def device(self) -> torch.device:
        """The device that the network is run on."""
        return torch.device(self.settings.device)

    def to(self, *where: Any, **how: Any) -> Part:
        """Stay: the parts of a pipeline move together, and the engine chooses the memory format."""
        tell(f"{self.name}.to(...) is not needed: pipe.to(...) places all parts, and the engine chooses the memory format")
        return self

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise explain_absence(type(self), self.name, name) from None


class UNet(Part):
    """The UNet: what torch.compile is given, and where forward chunking is switched."""

    network: Any  # of the engine; its class is the engine's matter
    compiled: Any  # what torch.compile made of this, if asked to

    def __init__(self, config: Mapping[str, Any], settings: Settings) -> None:
        super().__init__("unet", config, settings)
        self.network = None
        self.compiled = None

    def forward(self, x_BFCHW: Tensor, time: Tensor, context_BND: Tensor, added_ids_BI: Tensor) -> Tensor:
        """Run the network that the engine has loaded."""
        assert self.network is not None
        velocity: Tensor = self.network(x_BFCHW, time, context_BND, added_ids_BI)
        return velocity

    def enable_forward_chunking(self, chunk_size: int | None = None, dim: int = 0) -> None:
        """Run feed-forwards in chunks of so many rows; `dim` makes no difference to the frames."""
        self.settings.forward_chunk = chunk_size or 1

    def disable_forward_chunking(self) -> None:
        """Run feed-forwards whole again."""
        self.settings.forward_chunk = None

    def compile(self, *how: Any, **more: Any) -> None:
        """Have the network compiled as `pipe.unet = torch.compile(pipe.unet)` does."""
        # Beside torch's registry of modules, in which the compiled one would hold this one and be held by it.
        object.__setattr__(self, "compiled", torch.compile(self, *how, **more))


class VAE(Part):
    """The VAE, with the switches that diffusers has for the VAEs of pictures."""

    def enable_slicing(self) -> None:
        """Decode as before: `decode_chunk_size` is what bounds the memory of a clip."""
        tell("slicing is not needed: decode_chunk_size says how many frames are decoded at once")

    def enable_tiling(self) -> None:
        """Decode as before: frames are not cut into tiles."""
        tell("tiling is not carried out: it leaves seams; decode_chunk_size says how many frames are decoded at once")

    def disable_slicing(self) -> None:
        """Change nothing."""

    def disable_tiling(self) -> None:
        """Change nothing."""


class Scheduler:
    """The noise levels of a run, under the names that scripts read."""

    order = 1  # Euler: one network call a step

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = Config(**config)
        self.use(Schedule.from_config(config).sigmas(25))

    def use(self, sigmas: Tensor) -> None:
        """Show the noise levels of a run."""
        self.sigmas = sigmas
        # One by one, as the network is told: the logarithm of a vector may differ in the last bit.
        self.timesteps = torch.stack([0.25 * sigma.log() for sigma in sigmas[:-1]])
        self.init_noise_sigma = (sigmas.max() ** 2 + 1) ** 0.5

    def __getattr__(self, name: str) -> Any:
        raise explain_absence(type(self), "scheduler", name)


OF_SVD = {
    "unet": "pipe.unet can be set to torch.compile(pipe.unet, ...) and to nothing else: weights come from files",
    "vae": "pipe.vae cannot be replaced: weights come from files",
    "image_encoder": "pipe.image_encoder cannot be replaced: weights come from files",
    "feature_extractor": "pipe.feature_extractor cannot be replaced: its numbers come from the model's files",
    "scheduler": "pipe.scheduler cannot be replaced: SVD is sampled with Euler steps on its own noise levels; "
    "pipe(..., sigmas=[...]) takes other levels, num_inference_steps another number of them",
}


def check_replacement(name: str, mine: Any, given: Any) -> None:
    """Refuse a part from elsewhere, at the line that sets it; take what torch.compile made of our own."""
    if getattr(given, "_orig_mod", given) is not getattr(mine, "_orig_mod", mine):
        raise TypeError(OF_SVD[name])
    if name != "unet" and given is not mine:
        tell(f"compiling {name} is not carried out: nearly all of the time goes into the UNet", above=2)
