"""The drop-in held against diffusers: the same call gives the same frames, bit for bit, in float32 on the CPU."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from diffusers import StableVideoDiffusionPipeline as Theirs
from PIL import Image

from hub import LoopbackHub
from miniature import make_miniature
from unstill.compat import StableVideoDiffusionPipeline as Ours
from unstill.compat.call import SIGNATURE
from unstill.engine.memory_errors import LESS_MEMORY
from unstill.errors import ModelMissing, WeightsError


def load(kind, folder: Path, **keywords):
    pipe = kind.from_pretrained(folder, **keywords)
    pipe.set_progress_bar_config(disable=True)
    if kind is Theirs:
        align(pipe)
    return pipe


def align(pipe):
    """Copy the weights of diffusers to where torch allocates, as ours are.

    diffusers leaves them in the mapped file, at any multiple of 8 bytes. MKL and oneDNN sum products of a single row or cell
    in another order when the matrix does not begin at a multiple of 16: the last bit differs.
    """
    for part in (pipe.unet, pipe.vae, pipe.image_encoder):
        for weight in part.parameters():
            weight.data = weight.data.clone()


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    """Networks of fewer levels: calls go through them alike. That each layer is the same is in test_model_parity.py."""
    return make_miniature(tmp_path_factory.mktemp("thin"), is_thin=True)


@pytest.fixture(scope="module")
def pipes(thin):
    return load(Theirs, thin), load(Ours, thin)


@pytest.fixture(scope="module")
def deep_pipes(miniature):
    return load(Theirs, miniature), load(Ours, miniature)


def picture(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """A picture with edges and texture."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


SMALL = {"height": 64, "width": 64, "num_frames": 3, "num_inference_steps": 2, "output_type": "np"}


def compare(pipes, image, **call):
    """Return the largest difference between the frames of both pipelines."""
    call = {**SMALL, **call}
    seed = call.pop("seed", 0)
    with warnings.catch_warnings(action="ignore"):
        theirs, ours = (
            pipe(image, generator=torch.Generator().manual_seed(seed), **call, **extra).frames
            for pipe, extra in zip(pipes, ({}, {"fit": "stretch"}), strict=True)
        )
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    return np.abs(np.asarray(ours) - np.asarray(theirs)).max()


CALLS = {
    "wide": {"width": 128},
    "portrait": {"height": 128},
    "sides that are not multiples of 64": {"width": 88, "height": 72},
    "another seed": {"seed": 2**40 + 1},
    "guidance for every frame alike": {"min_guidance_scale": 2.0, "max_guidance_scale": 2.0},
    "no guidance": {"max_guidance_scale": 1.0},
    "guidance 2 to 2.5": {"min_guidance_scale": 2.0, "max_guidance_scale": 2.5},
    "guidance that falls": {"min_guidance_scale": 3.0, "max_guidance_scale": 1.5},
    "motion, fps and noise": {"motion_bucket_id": 200, "fps": 12, "noise_aug_strength": 0.3},
    "no noise": {"noise_aug_strength": 0.0},
    "one step": {"num_inference_steps": 1},
    "given noise levels": {"sigmas": [500.0, 50.0, 3.0, 0.1, 0.0]},
    "noise levels that end early": {"sigmas": [300.0, 20.0, 1.0]},
}
COMBINED = {
    f"{frames} frames at {width}x{height}, guidance {low:g} to {high:g}": {
        "num_frames": frames, "width": width, "height": height, "min_guidance_scale": low, "max_guidance_scale": high,
        "num_inference_steps": 3, "seed": frames + width,
    }
    for frames, (width, height), (low, high) in (
        (14, (192, 128), (1, 3)),
        (14, (64, 128), (1, 1)),
        (14, (136, 72), (2, 2.5)),
        (25, (128, 64), (1, 3)),
        (25, (64, 64), (1, 1)),
        (25, (72, 88), (2, 2.5)),
    )
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_frames_equal_those_of_diffusers(pipes, call):
    assert compare(pipes, picture(), **call) == 0.0


@pytest.mark.parametrize("frames", [None, pytest.param(25, marks=pytest.mark.thorough("11 frames more of the same network"))])
def test_frames_of_a_deep_network_equal_those_of_diffusers(deep_pipes, frames):
    assert compare(deep_pipes, picture(), num_frames=frames, num_inference_steps=1) == 0.0


@pytest.mark.thorough("combines what the calls above change one by one")
@pytest.mark.parametrize("call", COMBINED.values(), ids=COMBINED)
def test_frames_equal_those_of_diffusers_over_the_range(deep_pipes, call):
    assert compare(deep_pipes, picture(96, 64), **call) == 0.0


@pytest.mark.parametrize(
    ("frames", "chunks"),
    [(4, (1, 2, 3)), pytest.param(6, (1, 2, 3, 5), marks=pytest.mark.thorough("two frames and a chunk of five more"))],
)
def test_decoding_in_chunks_gives_the_frames_that_diffusers_gives_without(pipes, frames, chunks):
    """Float32 rounds in another order, nothing else; in diffusers a chunk makes other frames."""
    theirs, ours = pipes
    call = {**SMALL, "num_inference_steps": 1, "num_frames": frames}

    def run(pipe, size, **extra):
        with warnings.catch_warnings(action="ignore"):
            made = pipe(picture(), generator=torch.manual_seed(0), decode_chunk_size=size, **call, **extra)
        return np.asarray(made.frames)

    whole = run(theirs, None)
    assert np.abs(run(theirs, 2) - whole).max() > 1e-3
    for chunk in chunks:
        assert np.abs(run(ours, chunk, fit="stretch") - whole).max() < 2e-5, f"chunk {chunk}"


@pytest.mark.parametrize("size", [(64, 64), (200, 120), (40, 90)])
def test_a_picture_of_another_size_is_resized_alike(pipes, size):
    assert compare(pipes, picture(*size)) == 0.0


def test_the_number_of_frames_is_the_models_own(tmp_path):
    """A checkpoint of 25 frames makes 25 when nothing is said."""
    folder = make_miniature(tmp_path / "xt", frames=25, is_thin=True)
    pipes = load(Theirs, folder), load(Ours, folder)
    assert compare(pipes, picture(), num_frames=None, num_inference_steps=1, output_type="latent") == 0.0
    assert pipes[1].unet.config.num_frames == pipes[0].unet.config.num_frames == 25


def test_every_output_type_has_the_form_that_diffusers_gives(pipes):
    calls = dict(SMALL, num_inference_steps=1)
    for kind in ("np", "pt", "latent", "pil"):
        calls["output_type"] = kind
        theirs, ours = (pipe(picture(), generator=torch.manual_seed(1), **calls).frames for pipe in pipes)
        assert type(ours) is type(theirs)
        if kind == "pil":
            assert [[image.size for image in clip] for clip in ours] == [[image.size for image in clip] for clip in theirs]
            assert all(np.array_equal(a, b) for a, b in zip(ours[0], theirs[0], strict=True))
        else:
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_the_call_has_the_arguments_of_diffusers_in_order_and_with_their_defaults():
    theirs = list(inspect.signature(Theirs.__call__).parameters.values())[1:]
    ours = list(SIGNATURE.parameters.values())
    assert [argument.name for argument in ours] == [argument.name for argument in theirs]
    plain = {argument.name: argument.default for argument in theirs} | {"callback_on_step_end_tensor_inputs": ("latents",)}
    assert {argument.name: argument.default for argument in ours} == plain


def test_the_result_is_reached_by_name_by_number_and_plain(pipes):
    """diffusers gives the frames themselves, not a tuple, when return_dict is False."""
    calls = dict(SMALL, num_inference_steps=1)
    for pipe in pipes:
        output = pipe(picture(), generator=torch.manual_seed(1), **calls)
        plain = pipe(picture(), generator=torch.manual_seed(1), return_dict=False, **calls)
        assert np.array_equal(output.frames, plain)
        assert output[0] is output["frames"] is output.frames is output.to_tuple()[0]


def test_torchs_own_generator_is_used_when_none_is_given(pipes):
    frames = []
    for pipe in pipes:
        torch.manual_seed(7)
        frames.append(pipe(picture(), **SMALL).frames)
    assert np.array_equal(*frames)


def test_a_generator_is_left_where_diffusers_leaves_it(pipes):
    """So the second clip of a script is the same too."""
    states = []
    for pipe in pipes:
        generator = torch.manual_seed(3)
        pipe(picture(), generator=generator, **{**SMALL, "num_inference_steps": 1, "output_type": "latent"})
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_given_latents_are_used(pipes):
    latents = torch.randn(1, 3, 4, 8, 8, generator=torch.manual_seed(5))
    assert compare(pipes, picture(), latents=latents) == 0.0


# diffusers computes clips as one batch, here they are computed one after another: convolutions and matrix products of
# another batch size sum in another order. diffusers alone differs by 1.6e-5 from itself between one clip and four.
BATCH = 5e-5


@pytest.mark.parametrize("generators", [None, 2])
def test_several_clips_of_a_picture_equal_those_of_diffusers(pipes, generators):
    frames = []
    for pipe in pipes:
        several = [torch.Generator().manual_seed(seed) for seed in range(generators or 1)]
        several = several if generators else several[0]
        frames.append(pipe(picture(), num_videos_per_prompt=2, generator=several, **SMALL).frames)
    assert frames[0].shape == frames[1].shape == (2, 3, 64, 64, 3)
    assert np.abs(frames[0] - frames[1]).max() <= BATCH


def test_several_pictures_equal_those_of_diffusers(pipes):
    assert compare(pipes, [picture(seed=1), picture(seed=2)]) <= BATCH


def test_several_pictures_equal_those_of_diffusers_one_at_a_time(pipes):
    """Against single calls the frames are equal bit for bit."""
    theirs, ours = pipes
    pictures, call = [picture(seed=1), picture(seed=2)], {**SMALL, "noise_aug_strength": 0.0}
    latents = torch.randn(2, 3, 4, 8, 8, generator=torch.manual_seed(5))
    alone = [theirs(one, latents=latents[i : i + 1], **call).frames[0] for i, one in enumerate(pictures)]
    assert np.array_equal(ours(pictures, latents=latents, **call).frames, np.stack(alone))


def test_a_callback_sees_and_changes_what_it_does_in_diffusers(pipes):
    """Step number, time and latents are the same; what it returns is gone on from, after the last step too."""
    seen = ([], [])

    def watch(into):
        def callback(pipe, number, time, tensors):
            into.append((number, float(time), tensors["latents"].clone(), pipe.num_timesteps))
            return {"latents": tensors["latents"] * 0.9 + 0.1}

        return callback

    frames = [
        pipe(picture(), generator=torch.manual_seed(0), callback_on_step_end=watch(into), **SMALL).frames
        for pipe, into in zip(pipes, seen, strict=True)
    ]
    assert np.array_equal(*frames)
    for theirs, ours in zip(*seen, strict=True):
        assert theirs[:2] == ours[:2]
        assert torch.equal(theirs[2], ours[2])
        assert theirs[3] == ours[3]


def test_a_callback_sees_all_clips_as_one_batch(pipes):
    shapes = []
    for pipe in pipes:

        def callback(_, number, time, tensors):
            shapes.append(tuple(tensors["latents"].shape))
            return {}

        call = {**SMALL, "num_inference_steps": 1, "output_type": "latent"}
        pipe([picture(), picture(seed=1)], callback_on_step_end=callback, **call)
    assert shapes == [(2, 3, 4, 8, 8)] * 2


def test_a_callback_may_change_latents_in_place_or_return_nothing(pipes):
    ours, call = pipes[1], {**SMALL, "output_type": "latent"}

    def in_place(pipe, number, time, tensors):
        tensors["latents"][:, 0] = 0

    changed = ours(picture(), generator=torch.manual_seed(0), callback_on_step_end=in_place, **call).frames
    watched = ours(picture(), generator=torch.manual_seed(0), callback_on_step_end=lambda *_: None, **call).frames
    plain = ours(picture(), generator=torch.manual_seed(0), **call).frames
    assert changed[:, 0].abs().max() == 0
    assert torch.equal(watched, plain)


def test_half_precision_noise_is_drawn_as_diffusers_draws_it():
    """torch rounds the float32 stream where the count is a multiple of 16, and takes other numbers where it is not."""
    for shape, same in (((1, 14, 4, 8, 8), True), ((1, 25, 4, 72, 128), True), ((1, 14, 4, 9, 11), False)):
        full, half = (torch.randn(shape, generator=torch.manual_seed(0), dtype=d) for d in (torch.float32, torch.float16))
        assert torch.equal(full.half(), half) is same


@pytest.mark.parametrize("dtype", [
    torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.thorough("a CPU emulates it; the noise is drawn alike")),
])  # fmt: skip
def test_half_precision_starts_from_the_same_noise(thin, dtype):
    """Also at counts that are no multiple of 16. Latents are rounded between steps there and not here: alike, not equal."""
    pipes = load(Theirs, thin, torch_dtype=dtype), load(Ours, thin, torch_dtype=dtype)
    assert pipes[1].dtype == pipes[0].dtype == dtype
    call = {**SMALL, "width": 88, "height": 72, "num_inference_steps": 1}
    made = []
    for pipe, extra in zip(pipes, ({}, {"fit": "stretch"}), strict=True):
        generator = torch.manual_seed(4)
        made.append((pipe(picture(), generator=generator, **call, **extra).frames, generator.get_state()))
    assert torch.equal(made[0][1], made[1][1])
    assert np.abs(made[0][0] - made[1][0]).mean() < 0.01


def test_forward_chunking_changes_no_frame_and_can_be_undone(pipes):
    unet, call = pipes[1].unet, {**SMALL, "num_inference_steps": 1}

    def make():
        return pipes[1](picture(), generator=torch.manual_seed(0), **call).frames

    whole = make()
    unet.enable_forward_chunking(chunk_size=2, dim=1)
    chunked = make()
    unet.disable_forward_chunking()
    assert np.abs(whole - chunked).max() <= BATCH  # smaller matrix products sum in another order, too
    assert np.array_equal(whole, make())


@pytest.mark.thorough("traces a UNet twice; that a compiled one is run is shown below too")
def test_a_compiled_unet_is_run_and_keeps_its_switches(thin):
    """Traced as one graph, and run as traced: generating code for a CPU takes minutes."""
    pipe, traced = load(Ours, thin), []

    def backend(graph, inputs):
        traced.append(graph)
        return graph.forward

    def make():
        return pipe(picture(), generator=torch.manual_seed(0), **SMALL).frames

    plain = make()
    pipe.unet = torch.compile(pipe.unet, backend=backend, fullgraph=True)
    assert np.array_equal(make(), plain)
    assert len(traced) == 1
    pipe.unet.enable_forward_chunking(2)
    pipe.to("cpu", torch.bfloat16)  # the weights are loaded anew, and the compiled UNet runs them
    assert 0 < np.abs(make() - plain).mean() < 0.01
    assert len(traced) == 2


@pytest.mark.slow
def test_a_unet_can_be_compiled_in_place(thin):
    pipe, traced = load(Ours, thin), []
    pipe.unet.compile(backend=lambda graph, _: traced.append(graph) or graph.forward, fullgraph=True)
    assert pipe(picture(), **SMALL).frames.shape == (1, 3, 64, 64, 3)
    assert len(traced) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("how", ["plain", "offload", "compiled"])
def test_on_a_gpu_frames_are_those_of_diffusers_up_to_rounding(miniature, how, monkeypatch):
    """With generators of the device and of the CPU, and with the device's own stream; float32 is float32 in both."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # ours never rounds to TF32, diffusers leaves it on
    pipes = load(Theirs, miniature), load(Ours, miniature)
    for pipe in pipes:
        if how == "offload":
            pipe.enable_model_cpu_offload()
        else:
            pipe.to("cuda")
        if how == "compiled":
            pipe.unet = torch.compile(pipe.unet, mode="reduce-overhead", fullgraph=True)
    for seed in (
        lambda: torch.Generator("cuda").manual_seed(0),
        lambda: torch.manual_seed(0),
        lambda: torch.manual_seed(0) and None,
    ):
        theirs, ours = (pipe(picture(), generator=seed(), **SMALL).frames for pipe in pipes)
        assert np.abs(theirs - ours).max() < 0.01


def demand_too_much(*_, **__):
    """Ask torch's allocator for an exbibyte."""
    torch.empty(1 << 60, dtype=torch.uint8)


def test_too_little_memory_stays_torchs_error_and_says_what_to_try(thin, monkeypatch):
    pipe = load(Ours, thin)
    with monkeypatch.context() as patched:
        patched.setattr(torch.nn.Module, "load_state_dict", demand_too_much)
        check_told(pipe, "load")
    make(pipe)
    for stage, network in (("sample", pipe._loaded.unet), ("decode", pipe._loaded.vae.decoder)):
        hook = network.register_forward_pre_hook(demand_too_much)
        check_told(pipe, stage)
        hook.remove()
    make(pipe)


def make(pipe, **more):
    with warnings.catch_warnings(action="ignore"):
        return pipe(picture(), **SMALL, **more)


def check_told(pipe, stage):
    """Scripts catch torch's own error, so it stays; what to try is added to it."""
    with pytest.raises(RuntimeError, match="allocate") as caught:
        make(pipe)
    assert caught.value.__notes__ == [f"hint: {LESS_MEMORY[stage]}"]


def test_the_errors_of_a_scripts_callback_are_the_scripts(pipes):
    with pytest.raises(RuntimeError, match="allocate"):
        make(pipes[1], callback_on_step_end=demand_too_much)


# ---- where a model comes from ----------------------------------------------------------------------------------


def test_a_single_file_is_a_model_and_a_pickle_is_not(tmp_path):
    """What is in it is looked at when the weights are loaded; a miniature is not of the published size."""
    single = make_miniature(tmp_path / "one", layout="single-file")
    pipe = Ours.from_single_file(single, torch_dtype=torch.float16)
    assert (pipe.name_or_path, pipe.dtype) == (str(single), torch.float16)
    with pytest.raises(WeightsError, match="safetensors only"):
        Ours.from_single_file(single.rename(single.with_suffix(".ckpt")))
    with pytest.raises(WeightsError, match="does not hold the"):
        make_miniature(tmp_path / "one", layout="single-file")
        pipe(picture(), **SMALL)


def test_half_precision_weights_for_a_float32_run_are_used_and_told(tmp_path):
    folder = make_miniature(tmp_path / "half", fp16_variant=True)
    with pytest.warns(UserWarning, match="rounded to fp16") as told:
        assert Ours.from_pretrained(folder).dtype is torch.float32
    assert told[0].filename == __file__
    with warnings.catch_warnings(action="error"):
        Ours.from_pretrained(folder, torch_dtype=torch.float16, variant="fp16")


def test_a_model_that_is_not_here_is_fetched_once_with_its_licence_said(thin, tmp_path, monkeypatch, capsys):
    with LoopbackHub() as hub:
        hub.add("someone/svd-small", thin, card={"license": "other", "license_name": "look-do-not-touch"})
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url())
        pipe = Ours.from_pretrained("someone/svd-small", cache_dir=tmp_path, use_safetensors=True, low_cpu_mem_usage=True)
    assert pipe.unet.config.num_frames == 14
    assert "someone/svd-small: licence look-do-not-touch" in capsys.readouterr().err
    again = Ours.from_pretrained("someone/svd-small", cache_dir=tmp_path, local_files_only=True)
    assert again.name_or_path == "someone/svd-small"


@pytest.mark.parametrize(("given", "sent"), [(True, "hf_stored"), (None, "hf_stored"), (False, None), ("hf_other", "hf_other")])
def test_a_token_means_what_it_does_in_diffusers(thin, tmp_path, monkeypatch, given, sent):
    """True is the login that is stored; the hub here is open, so that each of them gets the model."""
    monkeypatch.setenv("HF_TOKEN", "hf_stored")
    with LoopbackHub() as hub:
        hub.add("someone/svd-small", thin)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url())
        Ours.from_pretrained("someone/svd-small", cache_dir=tmp_path, token=given)
    assert {asked.token for asked in hub.log if asked.server == "hub"} == {sent}


def test_offline_nothing_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelMissing, match="not on this machine"):
        Ours.from_pretrained("someone/svd-small", cache_dir=tmp_path)


# ---- whole scripts ---------------------------------------------------------------------------------------------

SCRIPT = """
import torch
{imports}

pipe = StableVideoDiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32, variant=None, use_safetensors=True)
pipe.to("cpu")
pipe.set_progress_bar_config(disable=True)

image = load_image(PICTURE)
image = image.resize((128, 64))

generator = torch.manual_seed(42)
frames = pipe(
    image, 64, 128, decode_chunk_size=3, generator=generator, num_frames=3, num_inference_steps=2, motion_bucket_id=180,
    noise_aug_strength=0.1,
).frames[0]
"""
THEIR_IMPORTS = "from diffusers import StableVideoDiffusionPipeline\nfrom diffusers.utils import load_image, export_to_video"
OUR_IMPORTS = "from unstill.compat import StableVideoDiffusionPipeline, export_to_video, load_image"


def test_a_script_gives_the_same_frames_after_changing_its_imports(thin, tmp_path):
    path = tmp_path / "photo.png"
    picture(300, 150).save(path)
    made = []
    for imports in (THEIR_IMPORTS, OUR_IMPORTS):
        names = {"MODEL": str(thin), "PICTURE": str(path)}
        with warnings.catch_warnings(action="ignore"):
            exec(SCRIPT.format(imports=imports), names)
        made.append(np.stack([np.asarray(frame) for frame in names["frames"]]))
    assert made[0].shape == (3, 64, 128, 3)
    assert np.array_equal(*made)
