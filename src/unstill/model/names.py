"""Under which names a file holds our tensors.

Our own names are those of the published diffusers folders. The original single files (svd.safetensors,
svd_xt.safetensors) use the names of Stability's generative-models; the tables below lead from ours to theirs.
It does not know how files are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from unstill.model.config import CLIPConfig, UNetConfig, VAEConfig

Table = tuple[tuple[str, str], ...]
Config = UNetConfig | VAEConfig | CLIPConfig

UNET = "model.diffusion_model"
# The encoder that conditions the clip and its last 1 × 1 convolution. The encoder of first_stage_model is run without
# such a convolution (svd.yaml of generative-models: AutoencodingEngine there, AutoencoderKLModeOnly here).
CONDITIONER = "conditioner.embedders.3.encoder"
LOST_CONDITIONER = (
    f"{CONDITIONER} encodes the picture: its quant_conv is nowhere else, and the encoder of first_stage_model has none; "
    "programs that save a model anew leave it out, so take the published file"
)
ENCODER, DECODER = f"{CONDITIONER}.encoder", "first_stage_model.decoder"
OPEN_CLIP = "conditioner.embedders.0.open_clip.model"

# Tensors that files carry and nothing here needs: tolerated by name, never by accident.
UNNEEDED = {
    "diffusers": re.compile(r"vision_model\.embeddings\.position_ids"),  # 0, 1, 2, … in files by older transformers
    "single-file": re.compile(
        r"first_stage_model\.encoder\..+"
        rf"|{re.escape(CONDITIONER)}\.(decoder\..+|post_quant_conv\.(weight|bias))"
        rf"|{re.escape(OPEN_CLIP)}\.(positional_embedding|text_projection|logit_scale"  # what is left of the text tower
        r"|token_embedding\.weight|ln_final\.(weight|bias))"
    ),
}

RES_BLOCK = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
UNET_OUTER: Table = (
    ("time_embedding.linear_1.", "time_embed.0."),
    ("time_embedding.linear_2.", "time_embed.2."),
    ("add_embedding.linear_1.", "label_emb.0.0."),
    ("add_embedding.linear_2.", "label_emb.0.2."),
    ("conv_in.", "input_blocks.0.0."),
    ("mid_block.resnets.0.", "middle_block.0."),
    ("mid_block.attentions.0.", "middle_block.1."),
    ("mid_block.resnets.1.", "middle_block.2."),
    ("conv_norm_out.", "out.0."),
    ("conv_out.", "out.2."),
)
UNET_INNER: Table = (
    *((f".temporal_res_block.{ours}.", f".time_stack.{theirs}.") for ours, theirs in RES_BLOCK),
    *((f".spatial_res_block.{ours}.", f".{theirs}.") for ours, theirs in RES_BLOCK),
    (".temporal_transformer_blocks.", ".time_stack."),
    (".time_pos_embed.linear_1.", ".time_pos_embed.0."),
    (".time_pos_embed.linear_2.", ".time_pos_embed.2."),
)
VAE_OUTER: Table = (
    ("quant_conv.", f"{CONDITIONER}.quant_conv."),
    *(
        (f"{ours}.{our_end}", f"{theirs}.{their_end}")
        for ours, theirs in (("encoder", ENCODER), ("decoder", DECODER))
        for our_end, their_end in (
            ("conv_in.", "conv_in."),
            ("mid_block.attentions.0.", "mid.attn_1."),
            ("conv_norm_out.", "norm_out."),
            ("conv_out.", "conv_out."),
        )
    ),
    ("decoder.time_conv_out.", f"{DECODER}.conv_out.time_mix_conv."),
)
VAE_INNER: Table = (
    *((f".temporal_res_block.{ours}.", f".time_stack.{theirs}.") for ours, theirs in RES_BLOCK),
    (".spatial_res_block.", "."),
    (".time_mixer.", "."),
    (".conv_shortcut.", ".nin_shortcut."),
    (".group_norm.", ".norm."),
    (".to_q.", ".q."),
    (".to_k.", ".k."),
    (".to_v.", ".v."),
    (".to_out.0.", ".proj_out."),
)
CLIP_OUTER: Table = (
    ("vision_model.embeddings.class_embedding", f"{OPEN_CLIP}.visual.class_embedding"),
    ("vision_model.embeddings.patch_embedding.", f"{OPEN_CLIP}.visual.conv1."),
    ("vision_model.embeddings.position_embedding.weight", f"{OPEN_CLIP}.visual.positional_embedding"),
    ("vision_model.pre_layrnorm.", f"{OPEN_CLIP}.visual.ln_pre."),
    ("vision_model.encoder.layers.", f"{OPEN_CLIP}.visual.transformer.resblocks."),
    ("vision_model.post_layernorm.", f"{OPEN_CLIP}.visual.ln_post."),
    ("visual_projection.weight", f"{OPEN_CLIP}.visual.proj"),
)
CLIP_INNER: Table = (
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
    (".self_attn.out_proj.", ".attn.out_proj."),
    *((f".self_attn.{proj}_proj.", ".attn.in_proj_") for proj in "qkv"),  # three layers in one
)


@dataclass(frozen=True)
class Stored:
    """Where a file holds one of our tensors, and in which form."""

    name: str
    third: int | None = None  # it is this third of the rows
    transposed: bool = False
    as_conv: bool = False  # it is stored as a 1 × 1 convolution

    def shape_for(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that the file must hold for a tensor of ours."""
        if self.third is not None:
            return (3 * ours[0], *ours[1:])
        if self.transposed:
            return ours[::-1]
        return (*ours, 1, 1) if self.as_conv else ours


def list_stored(layout: str, config: Config, names: Iterable[str]) -> dict[str, Stored]:
    """Say for each of our names where a file of this layout holds it."""
    if layout == "diffusers":
        return {name: Stored(name) for name in names}
    if isinstance(config, UNetConfig):
        outer = UNET_OUTER + number_unet(config)
        return {name: Stored(f"{UNET}.{rename(name, outer, UNET_INNER)}") for name in names}
    if isinstance(config, VAEConfig):
        outer = VAE_OUTER + number_vae(config)
        attends = re.compile(r"attentions\.0\.to_.+\.weight")
        return {name: Stored(rename(name, outer, VAE_INNER), as_conv=bool(attends.search(name))) for name in names}
    return {name: _name_clip(name) for name in names}


def rename(name: str, outer: Table, inner: Table) -> str:
    """Replace the one outer beginning that the name has, then every inner piece."""
    theirs = next(their + name.removeprefix(our) for our, their in outer if name.startswith(our))
    for our, their in inner:
        theirs = theirs.replace(our, their)
    return theirs


def number_unet(config: UNetConfig) -> Table:
    """Number the blocks as generative-models does: one running count down, one up."""
    table, count = [], 0
    levels, layers = len(config.block_out_channels), config.layers_per_block
    for level in range(levels):
        for layer in range(layers):
            count += 1
            table.append((f"down_blocks.{level}.resnets.{layer}.", f"input_blocks.{count}.0."))
            table.append((f"down_blocks.{level}.attentions.{layer}.", f"input_blocks.{count}.1."))
        if level < levels - 1:
            count += 1
            table.append((f"down_blocks.{level}.downsamplers.0.conv.", f"input_blocks.{count}.0.op."))
    for number in range(levels):
        for layer in range(layers + 1):
            count = number * (layers + 1) + layer
            table.append((f"up_blocks.{number}.resnets.{layer}.", f"output_blocks.{count}.0."))
            table.append((f"up_blocks.{number}.attentions.{layer}.", f"output_blocks.{count}.1."))
        after = 2 if config.up_attention[number] else 1
        table.append((f"up_blocks.{number}.upsamplers.0.conv.", f"output_blocks.{count}.{after}.conv."))
    return tuple(table)


def number_vae(config: VAEConfig) -> Table:
    """Number the levels as generative-models does: from the largest picture, also on the way up."""
    table = [(f"encoder.mid_block.resnets.{layer}.", f"{ENCODER}.mid.block_{layer + 1}.") for layer in range(2)]
    levels, layers = len(config.block_out_channels), config.layers_per_block
    for layer in range(layers):
        table.append((f"decoder.mid_block.resnets.{layer}.", f"{DECODER}.mid.block_{layer + 1}."))
    for level in range(levels):
        down, up = f"{ENCODER}.down.{level}", f"{DECODER}.up.{levels - 1 - level}"
        table.append((f"encoder.down_blocks.{level}.resnets.", f"{down}.block."))
        table.append((f"encoder.down_blocks.{level}.downsamplers.0.", f"{down}.downsample."))
        table.append((f"decoder.up_blocks.{level}.resnets.", f"{up}.block."))
        table.append((f"decoder.up_blocks.{level}.upsamplers.0.", f"{up}.upsample."))
    return tuple(table)


def _name_clip(name: str) -> Stored:
    fused = re.search(r"\.self_attn\.([qkv])_proj\.", name)
    third = "qkv".index(fused[1]) if fused else None
    return Stored(rename(name, CLIP_OUTER, CLIP_INNER), third, transposed=name == "visual_projection.weight")
