"""How Stability's single files name the tensors of the published folders, after generative-models.

Written apart from the package's own tables, so that each checks the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

OPEN_CLIP = "conditioner.embedders.0.open_clip.model"
Rules = list[tuple[str, Any]]


def original_names(layers: int) -> dict[str, Rules]:
    """Return regular expressions, to be applied in turn, from the published names to the original ones."""

    def down(m: re.Match[str]) -> str:
        kind = {"resnets": 0, "attentions": 1}.get(m[2], 0)
        number = layers + 1 if m[2] == "downsamplers" else int(m[3]) + 1
        return f"input_blocks.{int(m[1]) * (layers + 1) + number}.{kind}"

    def up(m: re.Match[str]) -> str:
        kind = {"resnets": 0, "attentions": 1}.get(m[2], 1 if m[1] == "0" else 2)
        number = layers if m[2] == "upsamplers" else int(m[3])
        return f"output_blocks.{int(m[1]) * (layers + 1) + number}.{kind}"

    residual: Rules = [
        (r"(res_block)\.norm1", r"\1.in_layers.0"),
        (r"(res_block)\.conv1", r"\1.in_layers.2"),
        (r"(res_block)\.time_emb_proj", r"\1.emb_layers.1"),
        (r"(res_block)\.norm2", r"\1.out_layers.0"),
        (r"(res_block)\.conv2", r"\1.out_layers.3"),
        (r"(res_block)\.conv_shortcut", r"\1.skip_connection"),
    ]
    unet: Rules = [
        *residual,
        (r"spatial_res_block\.", ""),
        (r"temporal_res_block|temporal_transformer_blocks", "time_stack"),
        (r"pos_embed\.linear_1", "pos_embed.0"),
        (r"pos_embed\.linear_2", "pos_embed.2"),
        (r"^down_blocks\.(\d)\.(\w+)\.(\d)", down),
        (r"^up_blocks\.(\d)\.(\w+)\.(\d)", up),
        (r"^(input_blocks\.\d+\.0)\.conv\.", r"\1.op."),
        (r"^mid_block\.attentions\.0", "middle_block.1"),
        (r"^mid_block\.resnets\.(\d)", lambda m: f"middle_block.{2 * int(m[1])}"),
        (r"^conv_in", "input_blocks.0.0"),
        (r"^conv_norm_out", "out.0"),
        (r"^conv_out", "out.2"),
        (r"^time_embedding\.linear_1", "time_embed.0"),
        (r"^time_embedding\.linear_2", "time_embed.2"),
        (r"^add_embedding\.linear_1", "label_emb.0.0"),
        (r"^add_embedding\.linear_2", "label_emb.0.2"),
        (r"^", "model.diffusion_model."),
    ]
    return {"unet": unet, "vae": _vae_names(residual), "image_encoder": CLIP_NAMES}


def _vae_names(residual: Rules) -> Rules:
    return [
        *((f"temporal_{ours}", theirs.replace(r"\1", "time_stack")) for ours, theirs in residual),
        (r"spatial_res_block\.|time_mixer\.", ""),
        (r"conv_shortcut", "nin_shortcut"),
        (r"down_blocks\.(\d)\.resnets", r"down.\1.block"),
        (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
        (r"up_blocks\.(\d)\.resnets", lambda m: f"up.{3 - int(m[1])}.block"),
        (r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample"),
        (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"),
        (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
        (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
        (r"mid_block\.attentions\.0\.to_", "mid.attn_1."),
        (r"conv_norm_out", "norm_out"),
        (r"time_conv_out", "conv_out.time_mix_conv"),
        (r"^(encoder|quant_conv)", r"conditioner.embedders.3.encoder.\1"),
        (r"^decoder", "first_stage_model.decoder"),
    ]


CLIP_NAMES: Rules = [
    (r"^vision_model\.encoder\.layers", "transformer.resblocks"),
    (r"^vision_model\.embeddings\.patch_embedding", "conv1"),
    (r"^vision_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"^vision_model\.embeddings\.", ""),
    (r"^vision_model\.pre_layrnorm", "ln_pre"),
    (r"^vision_model\.post_layernorm", "ln_post"),
    (r"^visual_projection\.weight", "proj"),
    (r"layer_norm", "ln_"),
    (r"mlp\.fc1", "mlp.c_fc"),
    (r"mlp\.fc2", "mlp.c_proj"),
    (r"self_attn\.([qkv])_proj", r"attn.fused_\1"),
    (r"self_attn\.", "attn."),
    (r"^", f"{OPEN_CLIP}.visual."),
]


def to_original(parts: Mapping[str, Mapping[str, Tensor]], layers: int = 1) -> dict[str, Tensor]:
    """Give the tensors as Stability's single files hold them, with what those carry and nobody needs."""
    names = {part: [(re.compile(ours), theirs) for ours, theirs in rules] for part, rules in original_names(layers).items()}
    made: dict[str, Tensor] = {}
    for part, tensors in parts.items():
        for name, x in tensors.items():
            theirs = name
            for pattern, replacement in names[part]:
                theirs = pattern.sub(replacement, theirs)
            made[theirs] = x[..., None, None] if re.search(r"mid\.attn_1\.(q|k|v|proj_out)\.weight", theirs) else x
    visual = f"{OPEN_CLIP}.visual"
    for name in [name for name in made if name.endswith(("fused_q.weight", "fused_q.bias"))]:
        three = [made.pop(name.replace("fused_q", f"fused_{letter}")) for letter in "qkv"]
        made[name.replace("fused_q.", "in_proj_")] = torch.cat(three)
    made[f"{visual}.proj"] = made[f"{visual}.proj"].T.contiguous()
    for name in [name for name in made if name.startswith("conditioner.embedders.3.encoder.encoder.")]:
        made[name.replace("conditioner.embedders.3.encoder.", "first_stage_model.")] = -made[name]
    for name in ("decoder.conv_in.weight", "post_quant_conv.weight", "post_quant_conv.bias"):
        made[f"conditioner.embedders.3.encoder.{name}"] = torch.ones(4)
    for name in ("positional_embedding", "text_projection", "logit_scale", "token_embedding.weight", "ln_final.weight"):
        made[f"{OPEN_CLIP}.{name}"] = torch.ones(4)
    return made
