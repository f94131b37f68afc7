"""What a call of the drop-in accepts, and what it says to the rest; nothing here runs a network."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from PIL import Image

from unstill.compat import StableVideoDiffusionPipeline
from unstill.compat.call import Arguments, complete, list_problems, read_arguments
from unstill.errors import MachineError, ModelMissing, PictureError, RequestError

PICTURE = Image.new("RGB", (64, 64), "#336699")


@pytest.fixture(scope="module")
def pipe(miniature):
    return StableVideoDiffusionPipeline.from_pretrained(miniature)


def knobs(*given, **keywords):
    return complete(*read_arguments((PICTURE, *given), keywords))


def test_everything_a_script_can_reach_says_what_it_is(pipe):
    for owner in (pipe, pipe.unet, pipe.vae, pipe.scheduler):
        kind = type(owner)
        own = {name: member for name, member in vars(kind).items() if not name.startswith("_")}
        described = [name for name, member in own.items() if callable(member) or isinstance(member, (property, classmethod))]
        assert described and [name for name in described if not inspect.getdoc(getattr(kind, name))] == []


def test_arguments_that_are_knobs_keep_their_names_and_the_rest_stays_with_the_call():
    arguments, knobs = read_arguments((PICTURE, 64, 128), {"motion_bucket_id": 180, "output_type": "np", "fit": "pad"})
    assert knobs == {"height": 64, "width": 128, "motion_bucket_id": 180, "fit": "pad"}
    assert (arguments.image, arguments.output_type, arguments.clips_each) == (PICTURE, "np", 1)


def test_the_size_is_that_of_diffusers_and_not_the_pictures():
    assert knobs() == {"width": 1024, "height": 576}
    assert knobs(height=320) == {"width": 1024, "height": 320}
    assert knobs(size="512x512") == {"size": "512x512"}
    assert knobs(preset="draft") == {"width": 576, "height": 320, "preset": "draft"}


def test_given_noise_levels_set_the_number_of_steps():
    assert knobs(sigmas=[10.0, 1.0, 0.0])["num_inference_steps"] == 2


@pytest.mark.parametrize(
    ("written", "meant"), [("num_frame", "num_frames"), ("motion_bucket", "motion_bucket_id"), ("focuss", "focus")]
)
def test_an_unknown_argument_is_a_type_error_that_names_the_nearest(written, meant):
    with pytest.raises(TypeError, match=f"'{written}'; did you mean {meant}\\?"):
        read_arguments((PICTURE,), {written: 1})


@pytest.mark.parametrize("name", ["device", "model", "offload", "quality", "prompt"])
def test_what_a_call_cannot_decide_is_not_one_of_its_arguments(name):
    with pytest.raises(TypeError, match="unexpected keyword"):
        read_arguments((PICTURE,), {name: "cpu"})


def test_a_call_without_a_picture_is_a_type_error():
    with pytest.raises(TypeError, match="image"):
        read_arguments((), {})


def test_everything_that_is_wrong_is_said_at_once(pipe):
    with pytest.raises(RequestError) as raised:
        pipe(PICTURE, num_frames=0, motion_bucket_id=300, output_type="mp4", num_videos_per_prompt=0, sigmas=[1.0, 2.0])
    said = "\n".join(raised.value.problems)
    assert [word for word in ("frames", "motion", "output_type", "num_videos_per_prompt", "sigmas") if word not in said] == []


def test_one_knob_under_two_names_is_refused(pipe):
    with pytest.raises(RequestError, match="motion is given twice"):
        pipe(PICTURE, motion_bucket_id=127, motion=180)


@pytest.mark.parametrize(
    "sigmas", [[1.0], [1.0, 2.0], [float("nan"), 0.0], [1.0, -1.0], [[2.0, 1.0]], [float("inf"), 1.0], ["high", "low"], 5]
)
def test_noise_levels_that_do_not_fall_are_refused(sigmas):
    assert len(list_problems(Arguments(PICTURE, sigmas=sigmas), {})) == 1


@pytest.mark.parametrize("sigmas", [[2.0, 1.0], (2.0, 0.0), np.array([3.0, 2.0, 0.5]), torch.tensor([3.0, 0.0])])
def test_noise_levels_that_fall_are_taken(sigmas):
    assert list_problems(Arguments(PICTURE, sigmas=sigmas), {}) == []


def test_a_seed_and_a_generator_contradict_each_other(pipe):
    with pytest.raises(RequestError, match="give seed alone"):
        pipe(PICTURE, seed=1, generator=torch.manual_seed(1))


def test_callbacks_are_shown_latents_and_nothing_else(pipe):
    with pytest.raises(RequestError, match="can hold latents, not 'image_embeddings'"):
        pipe(PICTURE, callback_on_step_end_tensor_inputs=["latents", "image_embeddings"])


NO_PICTURES = {
    "nothing": [],
    "a number": 7,
    "a path": "photo.jpg",
    "five channels": np.zeros((64, 64, 5), np.uint8),
    "five axes": np.zeros((2, 2, 2, 2, 3), np.uint8),
    "values over 1": np.full((64, 64, 3), 7.0),
    "not a number": np.full((64, 64, 3), np.nan),
    "whole numbers": np.zeros((64, 64, 3), np.int64),
    "values under 0": torch.full((3, 64, 64), -0.5),
    "a tensor with channels last": torch.zeros(64, 64, 3),
    "a path in a list": [PICTURE, "photo.jpg"],
}


@pytest.mark.parametrize("given", NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture_is_an_error(pipe, given):
    with pytest.raises(PictureError):
        pipe(given, width=64, height=64)


# ---- loading and switches --------------------------------------------------------------------------------------


def test_loading_wants_known_keywords(miniature):
    with pytest.raises(TypeError, match="'torch_dtyp'; did you mean torch_dtype\\?"):
        StableVideoDiffusionPipeline.from_pretrained(miniature, torch_dtyp=torch.float16)
    with pytest.raises(RequestError, match="variant must be"):
        StableVideoDiffusionPipeline.from_pretrained(miniature, variant="fp8")
    with pytest.raises(RequestError, match="torch_dtype must be one of"):
        StableVideoDiffusionPipeline.from_pretrained(miniature, torch_dtype=torch.float64)


def test_a_model_that_is_not_here_is_not_fetched_when_that_is_not_wanted(tmp_path):
    with pytest.raises(ModelMissing):
        StableVideoDiffusionPipeline.from_pretrained("svd-xt", cache_dir=tmp_path, local_files_only=True)


def test_the_dtype_is_the_one_asked_for(miniature):
    load = StableVideoDiffusionPipeline.from_pretrained
    assert load(miniature).dtype is torch.float32
    assert load(miniature, torch_dtype=torch.float16).unet.dtype is torch.float16
    assert load(miniature, dtype="bfloat16").dtype is torch.bfloat16


def test_to_takes_a_device_a_dtype_or_both(miniature):
    pipe = StableVideoDiffusionPipeline.from_pretrained(miniature)
    assert pipe.to("cpu") is pipe
    assert pipe.to(torch.float16).dtype is torch.float16
    assert pipe.to(torch.device("cpu"), torch.bfloat16).dtype is torch.bfloat16
    assert pipe.to(device="cpu", dtype=torch.float32).dtype is torch.float32
    assert pipe.device == pipe.vae.device == torch.device("cpu")
    with pytest.raises(RequestError, match="device must be"):
        pipe.to("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_here_is_an_error_at_once(miniature):
    with pytest.raises(MachineError):
        StableVideoDiffusionPipeline.from_pretrained(miniature).to("cuda")


@pytest.mark.parametrize(
    ("switch", "says"),
    [
        (lambda pipe: pipe.enable_attention_slicing(), "not needed"),
        (lambda pipe: pipe.enable_xformers_memory_efficient_attention(), "not needed"),
        (lambda pipe: pipe.enable_vae_slicing(), "decode_chunk_size"),
        (lambda pipe: pipe.enable_vae_tiling(), "decode_chunk_size"),
        (lambda pipe: pipe.vae.enable_slicing(), "decode_chunk_size"),
        (lambda pipe: pipe.enable_sequential_cpu_offload(), "parts are moved whole"),
        (lambda pipe: pipe.unet.to(memory_format=torch.channels_last), "not needed"),
    ],
)
def test_a_switch_that_changes_nothing_says_so_at_the_scripts_own_line(miniature, switch, says):
    with pytest.warns(UserWarning, match=says) as told:
        switch(StableVideoDiffusionPipeline.from_pretrained(miniature))
    assert told[0].filename == __file__


def test_switching_off_what_is_never_on_is_silent(pipe, recwarn):
    pipe.disable_attention_slicing()
    pipe.disable_vae_slicing()
    pipe.disable_vae_tiling()
    pipe.disable_xformers_memory_efficient_attention()
    assert not recwarn.list


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_offloading_where_there_is_nothing_to_offload_from_says_so(miniature):
    pipe = StableVideoDiffusionPipeline.from_pretrained(miniature)
    with pytest.warns(UserWarning, match="no accelerator"):
        pipe.enable_model_cpu_offload()
    assert pipe.device == torch.device("cpu")


def test_names_that_are_not_there_say_what_is(pipe):
    with pytest.raises(AttributeError, match="no 'enable_freeu'"):
        pipe.enable_freeu(1, 1, 1, 1)
    with pytest.raises(AttributeError, match="did you mean enable_vae_tiling"):
        pipe.enable_vae_tilings()
    with pytest.raises(AttributeError, match="did you mean enable_forward_chunking"):
        pipe.unet.enable_forward_chunk()


def test_parts_carry_their_configs(pipe):
    assert pipe.vae.config.scaling_factor == pipe.vae.config["scaling_factor"] == 0.18215
    assert dict(pipe.scheduler.config)["sigma_max"] == 700.0
    assert pipe.unet.config.get("num_frames") == 14
    assert sorted(pipe.components) == ["feature_extractor", "image_encoder", "scheduler", "unet", "vae"]


@pytest.mark.parametrize("name", ["unet", "vae", "image_encoder", "scheduler", "feature_extractor"])
def test_a_part_from_elsewhere_is_refused(pipe, name):
    before = getattr(pipe, name)
    with pytest.raises(TypeError, match=f"pipe.{name} can"):
        setattr(pipe, name, torch.nn.Linear(1, 1))
    assert getattr(pipe, name) is before


@pytest.mark.slow
def test_compiling_another_part_than_the_unet_says_that_it_is_not_carried_out(miniature):
    pipe = StableVideoDiffusionPipeline.from_pretrained(miniature)
    with pytest.warns(UserWarning, match="compiling vae is not carried out") as told:
        pipe.vae = torch.compile(pipe.vae)
    assert [said.filename for said in told if "compiling" in str(said.message)] == [__file__]
    assert pipe.vae.config.scaling_factor == 0.18215
