"""Sizes are read from the published files, and what cannot be run is refused by name."""

import pytest

from miniature import make_configs
from unstill.errors import WeightsError
from unstill.model.config import CLIPConfig, UNetConfig, VAEConfig

# As published in stabilityai/stable-video-diffusion-img2vid-xt, as far as sizes go.
PUBLISHED_UNET = {
    "_class_name": "UNetSpatioTemporalConditionModel",
    "addition_time_embed_dim": 256,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 1024,
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal"] * 3 + ["DownBlockSpatioTemporal"],
    "in_channels": 8,
    "layers_per_block": 2,
    "num_attention_heads": [5, 10, 20, 20],
    "num_frames": 25,
    "out_channels": 4,
    "projection_class_embeddings_input_dim": 768,
    "sample_size": 96,
    "transformer_layers_per_block": 1,
    "up_block_types": ["UpBlockSpatioTemporal"] + ["CrossAttnUpBlockSpatioTemporal"] * 3,
}
PUBLISHED_VAE = {
    "_class_name": "AutoencoderKLTemporalDecoder",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "out_channels": 3,
    "sample_size": 768,
    "scaling_factor": 0.18215,
}
PUBLISHED_CLIP = {
    "architectures": ["CLIPVisionModelWithProjection"],
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "image_size": 224,
    "intermediate_size": 5120,
    "layer_norm_eps": 1e-05,
    "model_type": "clip_vision_model",
    "num_attention_heads": 16,
    "num_channels": 3,
    "num_hidden_layers": 32,
    "patch_size": 14,
    "projection_dim": 1024,
}
KINDS = {
    "unet": (UNetConfig, PUBLISHED_UNET),
    "vae": (VAEConfig, PUBLISHED_VAE),
    "image_encoder": (CLIPConfig, PUBLISHED_CLIP),
}


@pytest.mark.parametrize("part", KINDS)
def test_the_defaults_are_the_published_model(part):
    """So a single file that comes without config.json is read as what it is."""
    kind, published = KINDS[part]
    assert kind.from_dict(published) == kind()


def test_the_miniature_is_read_as_it_was_made():
    configs = make_configs(layers=2)
    unet = UNetConfig.from_dict(configs["unet"])
    assert (unet.block_out_channels, unet.num_attention_heads) == ((32, 64, 64, 64), (2, 4, 4, 4))
    assert (unet.down_attention, unet.up_attention) == ((True, True, True, False), (False, True, True, True))
    assert VAEConfig.from_dict(configs["vae"]).block_out_channels == (32, 32, 64, 64)
    assert CLIPConfig.from_dict(configs["image_encoder"]).hidden_size == 32


def test_one_number_of_heads_serves_all_blocks():
    assert UNetConfig.from_dict({**PUBLISHED_UNET, "num_attention_heads": 20}).num_attention_heads == (20,) * 4


def test_vae_fields_that_old_configs_lack_have_the_published_values():
    short = {key: value for key, value in PUBLISHED_VAE.items() if key not in ("scaling_factor", "force_upcast")}
    assert VAEConfig.from_dict(short) == VAEConfig()


BAD = [
    ("unet", "_class_name", "UNet2DConditionModel"),
    ("unet", "block_out_channels", [320, 640, 1280]),
    ("unet", "block_out_channels", [320, 640, 1280, 1290]),
    ("unet", "block_out_channels", []),
    ("unet", "block_out_channels", "320"),
    ("unet", "block_out_channels", [True] * 4),
    ("unet", "down_block_types", ["CrossAttnDownBlock2D"] * 4),
    ("unet", "up_block_types", ["UpBlockSpatioTemporal"]),
    ("unet", "num_attention_heads", [5, 10, 20]),
    ("unet", "num_attention_heads", [7, 10, 20, 20]),
    ("unet", "num_attention_heads", None),
    ("unet", "layers_per_block", [2, 2, 2, 2]),
    ("unet", "layers_per_block", 0),
    ("unet", "transformer_layers_per_block", [1, 1, 1, 1]),
    ("unet", "cross_attention_dim", -1),
    ("unet", "cross_attention_dim", 10**9),
    ("unet", "in_channels", 8.5),
    ("unet", "in_channels", True),
    ("unet", "addition_time_embed_dim", 255),
    ("unet", "projection_class_embeddings_input_dim", 512),
    ("vae", "_class_name", "AutoencoderKL"),
    ("vae", "down_block_types", ["AttnDownEncoderBlock2D"] * 4),
    ("vae", "latent_channels", "4"),
    ("vae", "scaling_factor", float("nan")),
    ("vae", "scaling_factor", 0),
    ("vae", "scaling_factor", "0.18"),
    ("vae", "scaling_factor", True),
    ("image_encoder", "model_type", "siglip_vision_model"),
    ("image_encoder", "hidden_act", "quick_gelu"),
    ("image_encoder", "num_attention_heads", 17),
    ("image_encoder", "patch_size", 15),
    ("image_encoder", "layer_norm_eps", -1.0),
]


@pytest.mark.parametrize(("part", "key", "value"), BAD)
def test_a_value_that_cannot_be_run_is_refused_by_name(part, key, value):
    kind, published = KINDS[part]
    with pytest.raises(WeightsError) as caught:
        kind.from_dict({**published, key: value})
    assert caught.value.message.startswith(f"{part}/config.json: ")
    assert caught.value.hint


@pytest.mark.parametrize("levels", [3, 5])
def test_a_vae_whose_latent_cells_are_not_of_8_pixels_is_refused(levels):
    """Frames would be framed for another grid."""
    other = {"block_out_channels": [128] * levels, "down_block_types": ["DownEncoderBlock2D"] * levels}
    with pytest.raises(WeightsError, match=r"^vae/config\.json: block_out_channels must hold 4 numbers.*found \[128, 128"):
        VAEConfig.from_dict({**PUBLISHED_VAE, **other})


@pytest.mark.parametrize(
    ("part", "key"),
    [("unet", "block_out_channels"), ("unet", "layers_per_block"), ("vae", "latent_channels"), ("image_encoder", "hidden_act")],
)
def test_a_missing_field_is_named(part, key):
    kind, published = KINDS[part]
    with pytest.raises(WeightsError, match=f"{part}/config.json: {key} .*found missing"):
        kind.from_dict({k: v for k, v in published.items() if k != key})
