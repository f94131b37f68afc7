"""The sizes of the three networks, read from the published config.json files.

A value that this code cannot run is a WeightsError that names the field. It does not know of tensors or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unstill.errors import WeightsError
from unstill.values import show

GROUPS = 32  # every group norm of SVD has 32 groups, so widths are multiples of it
VAE_LEVELS = 4  # 8 pixels of a side to a latent cell, which is what pictures are framed for
LARGEST = 1 << 16  # no published number comes near; keeps a broken config from asking for absurd networks

DOWN_BLOCKS = {"CrossAttnDownBlockSpatioTemporal": True, "DownBlockSpatioTemporal": False}  # has attention?
UP_BLOCKS = {"CrossAttnUpBlockSpatioTemporal": True, "UpBlockSpatioTemporal": False}


@dataclass(frozen=True)
class UNetConfig:
    """The network that estimates noise. The defaults are the published SVD's."""

    in_channels: int = 8  # the clip's latents and the picture's
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    down_attention: tuple[bool, ...] = (True, True, True, False)
    up_attention: tuple[bool, ...] = (False, True, True, True)
    layers_per_block: int = 2
    transformer_layers_per_block: int = 1
    num_attention_heads: tuple[int, ...] = (5, 10, 20, 20)
    cross_attention_dim: int = 1024
    addition_time_embed_dim: int = 256

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> UNetConfig:
        """Read unet/config.json."""
        fields = _Fields("unet", config)
        fields.expect("_class_name", "UNetSpatioTemporalConditionModel")
        widths = fields.widths("block_out_channels")
        heads = fields.per_block("num_attention_heads", len(widths))
        for width, count in zip(widths, heads, strict=True):
            if width % count:
                raise fields.error("num_attention_heads", f"must divide block_out_channels {list(widths)}")
        told = fields.whole("addition_time_embed_dim")
        if told % 2:
            raise fields.error("addition_time_embed_dim", "must be even: half of it are cosines, half sines")
        fields.expect("projection_class_embeddings_input_dim", 3 * told)  # fps − 1, motion, noise
        return cls(
            in_channels=fields.whole("in_channels"),
            out_channels=fields.whole("out_channels"),
            block_out_channels=widths,
            down_attention=fields.kinds("down_block_types", DOWN_BLOCKS, len(widths)),
            up_attention=fields.kinds("up_block_types", UP_BLOCKS, len(widths)),
            layers_per_block=fields.whole("layers_per_block"),
            transformer_layers_per_block=fields.whole("transformer_layers_per_block", 1),
            num_attention_heads=heads,
            cross_attention_dim=fields.whole("cross_attention_dim"),
            addition_time_embed_dim=told,
        )


@dataclass(frozen=True)
class VAEConfig:
    """The network between pixels and latents. The defaults are the published SVD's."""

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    scaling_factor: float = 0.18215
    force_upcast: bool = True  # its activations overflow float16 while encoding

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> VAEConfig:
        """Read vae/config.json."""
        fields = _Fields("vae", config)
        fields.expect("_class_name", "AutoencoderKLTemporalDecoder")
        widths = fields.widths("block_out_channels")
        if len(widths) != VAE_LEVELS:
            raise fields.error("block_out_channels", f"must hold {VAE_LEVELS} numbers: 8 pixels of a side make a latent cell")
        fields.kinds("down_block_types", {"DownEncoderBlock2D": True}, len(widths))
        return cls(
            in_channels=fields.whole("in_channels", 3),
            out_channels=fields.whole("out_channels", 3),
            latent_channels=fields.whole("latent_channels"),
            block_out_channels=widths,
            layers_per_block=fields.whole("layers_per_block"),
            scaling_factor=fields.number("scaling_factor", 0.18215),
            force_upcast=bool(fields.values.get("force_upcast", True)),
        )


@dataclass(frozen=True)
class CLIPConfig:
    """The image tower of CLIP. The defaults are ViT-H/14, which every published SVD carries."""

    hidden_size: int = 1280
    intermediate_size: int = 5120
    num_hidden_layers: int = 32
    num_attention_heads: int = 16
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 14
    projection_dim: int = 1024
    layer_norm_eps: float = 1e-5

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> CLIPConfig:
        """Read image_encoder/config.json."""
        fields = _Fields("image_encoder", config)
        fields.expect("model_type", "clip_vision_model")
        fields.expect("hidden_act", "gelu", required=True)  # left out, transformers would mean quick_gelu
        names = [name for name in cls.__dataclass_fields__ if name != "layer_norm_eps"]
        made = cls(**{name: fields.whole(name) for name in names}, layer_norm_eps=fields.number("layer_norm_eps", 1e-5))
        if made.hidden_size % made.num_attention_heads:
            raise fields.error("num_attention_heads", f"must divide hidden_size {made.hidden_size}")
        if made.image_size % made.patch_size:
            raise fields.error("patch_size", f"must divide image_size {made.image_size}")
        return made


@dataclass(frozen=True)
class _Fields:
    """One config.json, field by field."""

    part: str
    values: Mapping[str, Any]

    def error(self, key: str, wanted: str) -> WeightsError:
        """Say which field cannot be what it is."""
        found = show(self.values[key]) if key in self.values else "missing"
        return WeightsError(
            f"{self.part}/config.json: {key} {wanted}, found {found}",
            hint="compare the file with the one published for Stable Video Diffusion",
        )

    def expect(self, key: str, wanted: str | int, *, required: bool = False) -> None:
        """Refuse a field that says something else."""
        if self.values.get(key, None if required else wanted) != wanted:
            raise self.error(key, f"must be {wanted!r}")

    def whole(self, key: str, default: int | None = None) -> int:
        """Read a whole number."""
        value = self.values.get(key, default)
        if not _is_whole(value):
            raise self.error(key, f"must be a whole number from 1 to {LARGEST}")
        return int(value)

    def number(self, key: str, default: float) -> float:
        """Read a positive number."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
            raise self.error(key, "must be a positive number")
        return float(value)

    def widths(self, key: str) -> tuple[int, ...]:
        """Read the channels of each block."""
        values = self.values.get(key)
        if not isinstance(values, list | tuple) or not 1 <= len(values) <= 8:
            raise self.error(key, "must be a list of 1 to 8 numbers")
        if not all(_is_whole(value) and value % GROUPS == 0 for value in values):
            raise self.error(key, f"must hold multiples of {GROUPS}")
        return tuple(values)

    def per_block(self, key: str, blocks: int) -> tuple[int, ...]:
        """Read one whole number for all blocks, or one for each."""
        values = self.values.get(key)
        if _is_whole(values):
            return (values,) * blocks  # type: ignore[return-value]
        if not isinstance(values, list | tuple) or len(values) != blocks or not all(map(_is_whole, values)):
            raise self.error(key, f"must be a whole number, or {blocks} of them")
        return tuple(values)

    def kinds(self, key: str, known: Mapping[str, bool], blocks: int) -> tuple[bool, ...]:
        """Read the kind of each block."""
        values = self.values.get(key)
        if not isinstance(values, list | tuple) or len(values) != blocks or not all(value in known for value in values):
            raise self.error(key, f"must be {blocks} of {', '.join(known)}")
        return tuple(known[value] for value in values)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST
