"""A Stable Video Diffusion of a million random weights, in the layouts that people have on disk.

It holds the public names, configs and file layout, so that whatever reads it reads the real one, and no zero
(the published zero-initialised layers are trained), so that every tensor matters. It knows nothing of the
package that it tests, nor of diffusers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from original_names import to_original

Shapes = Iterator[tuple[str, tuple[int, ...]]]

UNET = {
    "_class_name": "UNetSpatioTemporalConditionModel",
    "_diffusers_version": "0.24.0.dev0",
    "addition_time_embed_dim": 32,
    "block_out_channels": [32, 64, 64, 64],
    "cross_attention_dim": 32,
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal"] * 3 + ["DownBlockSpatioTemporal"],
    "in_channels": 8,
    "layers_per_block": 1,
    "num_attention_heads": [2, 4, 4, 4],
    "num_frames": 14,
    "out_channels": 4,
    "projection_class_embeddings_input_dim": 96,
    "sample_size": 16,
    "transformer_layers_per_block": 1,
    "up_block_types": ["UpBlockSpatioTemporal"] + ["CrossAttnUpBlockSpatioTemporal"] * 3,
}
VAE = {
    "_class_name": "AutoencoderKLTemporalDecoder",
    "_diffusers_version": "0.24.0.dev0",
    "block_out_channels": [32, 32, 64, 64],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,  # with one, the decoder's attention would be there and never run
    "out_channels": 3,
    "sample_size": 128,
    "scaling_factor": 0.18215,
}
CLIP = {
    "architectures": ["CLIPVisionModelWithProjection"],
    "attention_dropout": 0.0,
    "dropout": 0.0,
    "hidden_act": "gelu",
    "hidden_size": 32,
    "image_size": 224,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-05,
    "model_type": "clip_vision_model",
    "num_attention_heads": 2,
    "num_channels": 3,
    "num_hidden_layers": 2,
    "patch_size": 14,
    "projection_dim": 32,
    "torch_dtype": "float32",
    "transformers_version": "4.34.0.dev0",
}
THIN = {  # what differs where a network is only there to be run: half the time for a clip
    "unet": {
        "block_out_channels": [32, 32],
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
        "num_attention_heads": [2, 2],
        "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
    },
    "vae": {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1},
    "image_encoder": {"num_hidden_layers": 1},
}
SCHEDULER = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.24.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "sigma_max": 700.0,
    "sigma_min": 0.002,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "trained_betas": None,
    "use_karras_sigmas": True,
}
FEATURE_EXTRACTOR = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}
MODEL_INDEX = {
    "_class_name": "StableVideoDiffusionPipeline",
    "_diffusers_version": "0.24.0.dev0",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "unet": ["diffusers", "UNetSpatioTemporalConditionModel"],
    "vae": ["diffusers", "AutoencoderKLTemporalDecoder"],
}
WEIGHTS_NAMES = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "image_encoder": "model"}


def make_miniature(
    folder: Path,
    *,
    frames: int = 14,
    seed: int = 0,
    layers: int = 1,
    layout: str = "diffusers",
    fp16_variant: bool = False,
    is_thin: bool = False,
) -> Path:
    """Write a miniature and return what to load: the folder, or with layout "single-file" the file in it.

    `layers` is the UNet's depth per block: one is quick, two is the published number. With `is_thin` there are fewer levels.

    With `fp16_variant` the files are the `.fp16.safetensors` ones and hold halves; a second call without it
    and with the same seed puts the float32 ones beside them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configs = make_configs(frames, layers)
    if is_thin:
        configs = {part: {**config, **THIN[part]} for part, config in configs.items()}
    dtype = torch.float16 if fp16_variant else torch.float32
    parts = {part: {name: x.to(dtype) for name, x in made.items()} for part, made in make_parts(configs, seed).items()}
    if layout == "single-file":
        file = folder / "svd.safetensors"
        save_file(to_original(parts, layers), file, {"format": "pt"})
        return file
    _write_json(folder / "model_index.json", MODEL_INDEX)
    _write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    _write_json(folder / "feature_extractor" / "preprocessor_config.json", FEATURE_EXTRACTOR)
    for part, config in configs.items():
        _write_json(folder / part / "config.json", config)
        variant = ".fp16" if fp16_variant else ""
        save_file(parts[part], folder / part / f"{WEIGHTS_NAMES[part]}{variant}.safetensors", {"format": "pt"})
    return folder


def make_configs(frames: int = 14, layers: int = 1) -> dict[str, dict[str, Any]]:
    """Return the config of each network."""
    return {"unet": {**UNET, "num_frames": frames, "layers_per_block": layers}, "vae": dict(VAE), "image_encoder": dict(CLIP)}


def make_parts(configs: Mapping[str, Mapping[str, Any]], seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """Return the float32 tensors of each network by their public names."""
    generator = torch.Generator().manual_seed(seed)
    lists = {"unet": list_unet, "vae": list_vae, "image_encoder": list_clip}
    return {
        part: {name: _fill(name, shape, generator) for name, shape in lists[part](config)} for part, config in configs.items()
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def _fill(name: str, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw values that keep activations of order one through any number of layers."""
    x = torch.randn(tuple(shape), generator=generator)
    if name.endswith("mix_factor"):
        return x  # both branches of a blend get a fair share
    if len(shape) == 1:
        is_gain = "norm" in name and name.endswith("weight")
        return 1 + 0.1 * x if is_gain else 0.1 * x
    gain = 0.5 if name in ("decoder.conv_out.weight", "decoder.time_conv_out.weight") else 1.0  # frames rarely clip
    return x * (gain / math.sqrt(math.prod(shape[1:])))


# ---- names and shapes: the published ones, by arithmetic from the config -----------------------------------


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _linear(name: str, inside: int, outside: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (outside, inside)
    if bias:
        yield f"{name}.bias", (outside,)


def _conv(name: str, inside: int, outside: int, *kernel: int) -> Shapes:
    yield f"{name}.weight", (outside, inside, *kernel)
    yield f"{name}.bias", (outside,)


def _resnet(name: str, inside: int, outside: int, time: int | None, *kernel: int) -> Shapes:
    yield from _norm(f"{name}.norm1", inside)
    yield from _conv(f"{name}.conv1", inside, outside, *kernel)
    if time:
        yield from _linear(f"{name}.time_emb_proj", time, outside)
    yield from _norm(f"{name}.norm2", outside)
    yield from _conv(f"{name}.conv2", outside, outside, *kernel)
    if inside != outside:
        yield from _conv(f"{name}.conv_shortcut", inside, outside, *(1 for _ in kernel))


def _video_resnet(name: str, inside: int, outside: int, time: int | None) -> Shapes:
    yield from _resnet(f"{name}.spatial_res_block", inside, outside, time, 3, 3)
    yield from _resnet(f"{name}.temporal_res_block", outside, outside, time, 3, 1, 1)
    yield f"{name}.time_mixer.mix_factor", (1,)


def _attention(name: str, width: int, context: int, bias: bool = False) -> Shapes:
    yield from _linear(f"{name}.to_q", width, width, bias)
    yield from _linear(f"{name}.to_k", context, width, bias)
    yield from _linear(f"{name}.to_v", context, width, bias)
    yield from _linear(f"{name}.to_out.0", width, width)


def _feed_forward(name: str, width: int) -> Shapes:
    yield from _linear(f"{name}.net.0.proj", width, width * 8)
    yield from _linear(f"{name}.net.2", width * 4, width)


def _transformer(name: str, width: int, context: int, layers: int) -> Shapes:
    yield from _norm(f"{name}.norm", width)
    yield from _linear(f"{name}.proj_in", width, width)
    for kind in ("transformer_blocks", "temporal_transformer_blocks"):
        for layer in range(layers):
            block = f"{name}.{kind}.{layer}"
            if kind.startswith("temporal"):
                yield from _norm(f"{block}.norm_in", width)
                yield from _feed_forward(f"{block}.ff_in", width)
            for number, keys in ((1, width), (2, context)):
                yield from _norm(f"{block}.norm{number}", width)
                yield from _attention(f"{block}.attn{number}", width, keys)
            yield from _norm(f"{block}.norm3", width)
            yield from _feed_forward(f"{block}.ff", width)
    yield from _linear(f"{name}.time_pos_embed.linear_1", width, width * 4)
    yield from _linear(f"{name}.time_pos_embed.linear_2", width * 4, width)
    yield f"{name}.time_mixer.mix_factor", (1,)
    yield from _linear(f"{name}.proj_out", width, width)


def list_unet(config: Mapping[str, Any]) -> Shapes:
    """Yield the names and shapes of a UNet."""
    widths, context = config["block_out_channels"], config["cross_attention_dim"]
    layers, inner = config["layers_per_block"], config["transformer_layers_per_block"]
    time = widths[0] * 4
    yield from _conv("conv_in", config["in_channels"], widths[0], 3, 3)
    for name, inside in (
        ("time_embedding", widths[0]),
        ("add_embedding", config["projection_class_embeddings_input_dim"]),
    ):
        yield from _linear(f"{name}.linear_1", inside, time)
        yield from _linear(f"{name}.linear_2", time, time)
    skips, width = [widths[0]], widths[0]
    for i, kind in enumerate(config["down_block_types"]):
        for layer in range(layers):
            yield from _video_resnet(f"down_blocks.{i}.resnets.{layer}", width, widths[i], time)
            width = widths[i]
            skips.append(width)
            if kind.startswith("CrossAttn"):
                yield from _transformer(f"down_blocks.{i}.attentions.{layer}", width, context, inner)
        if i < len(widths) - 1:
            yield from _conv(f"down_blocks.{i}.downsamplers.0.conv", width, width, 3, 3)
            skips.append(width)
    yield from _video_resnet("mid_block.resnets.0", width, width, time)
    yield from _transformer("mid_block.attentions.0", width, context, inner)
    yield from _video_resnet("mid_block.resnets.1", width, width, time)
    for i, kind in enumerate(config["up_block_types"]):
        for layer in range(layers + 1):
            target = widths[-1 - i]
            yield from _video_resnet(f"up_blocks.{i}.resnets.{layer}", width + skips.pop(), target, time)
            width = target
            if kind.startswith("CrossAttn"):
                yield from _transformer(f"up_blocks.{i}.attentions.{layer}", width, context, inner)
        if i < len(widths) - 1:
            yield from _conv(f"up_blocks.{i}.upsamplers.0.conv", width, width, 3, 3)
    yield from _norm("conv_norm_out", width)
    yield from _conv("conv_out", width, config["out_channels"], 3, 3)


def list_vae(config: Mapping[str, Any]) -> Shapes:
    """Yield the names and shapes of a VAE."""
    widths, layers, latent = config["block_out_channels"], config["layers_per_block"], config["latent_channels"]
    width = widths[0]
    yield from _conv("encoder.conv_in", config["in_channels"], width, 3, 3)
    for i, target in enumerate(widths):
        for layer in range(layers):
            yield from _resnet(f"encoder.down_blocks.{i}.resnets.{layer}", width, target, None, 3, 3)
            width = target
        if i < len(widths) - 1:
            yield from _conv(f"encoder.down_blocks.{i}.downsamplers.0.conv", width, width, 3, 3)
    for layer in range(2):
        yield from _resnet(f"encoder.mid_block.resnets.{layer}", width, width, None, 3, 3)
    yield from _vae_attention("encoder.mid_block.attentions.0", width)
    yield from _norm("encoder.conv_norm_out", width)
    yield from _conv("encoder.conv_out", width, 2 * latent, 3, 3)
    yield from _conv("quant_conv", 2 * latent, 2 * latent, 1, 1)
    yield from _conv("decoder.conv_in", latent, width, 3, 3)
    for layer in range(layers):
        yield from _video_resnet(f"decoder.mid_block.resnets.{layer}", width, width, None)
    yield from _vae_attention("decoder.mid_block.attentions.0", width)
    for i, target in enumerate(reversed(widths)):
        for layer in range(layers + 1):
            yield from _video_resnet(f"decoder.up_blocks.{i}.resnets.{layer}", width, target, None)
            width = target
        if i < len(widths) - 1:
            yield from _conv(f"decoder.up_blocks.{i}.upsamplers.0.conv", width, width, 3, 3)
    yield from _norm("decoder.conv_norm_out", width)
    yield from _conv("decoder.conv_out", width, config["out_channels"], 3, 3)
    yield from _conv("decoder.time_conv_out", config["out_channels"], config["out_channels"], 3, 1, 1)


def _vae_attention(name: str, width: int) -> Shapes:
    yield from _norm(f"{name}.group_norm", width)
    yield from _attention(name, width, width, bias=True)


def list_clip(config: Mapping[str, Any]) -> Shapes:
    """Yield the names and shapes of a CLIP image tower."""
    width, side = config["hidden_size"], config["patch_size"]
    yield "vision_model.embeddings.class_embedding", (width,)
    yield "vision_model.embeddings.patch_embedding.weight", (width, config["num_channels"], side, side)
    yield "vision_model.embeddings.position_embedding.weight", ((config["image_size"] // side) ** 2 + 1, width)
    yield from _norm("vision_model.pre_layrnorm", width)
    for layer in range(config["num_hidden_layers"]):
        block = f"vision_model.encoder.layers.{layer}"
        for proj in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(f"{block}.self_attn.{proj}", width, width)
        yield from _norm(f"{block}.layer_norm1", width)
        yield from _linear(f"{block}.mlp.fc1", width, config["intermediate_size"])
        yield from _linear(f"{block}.mlp.fc2", config["intermediate_size"], width)
        yield from _norm(f"{block}.layer_norm2", width)
    yield from _norm("vision_model.post_layernorm", width)
    yield from _linear("visual_projection", width, config["projection_dim"], bias=False)
