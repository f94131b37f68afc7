"""Our networks against diffusers' and transformers', on the same random weights: equal bit for bit in float32.

Theirs are loaded by their own code from the files that ours load, so names and layout are tested as well.
"""

import copy

import numpy as np
import pytest
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image

from miniature import FEATURE_EXTRACTOR, make_miniature
from model_files import describe_miniature
from unstill.model.clip import clip_pixels
from unstill.model.weights import load_image_tower, load_unet, load_vae

PARTS = {"unet": load_unet, "vae": load_vae, "image_encoder": load_image_tower}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two layers a block, as published: with one, some numbering could not go wrong."""
    return make_miniature(tmp_path_factory.mktemp("two-layers"), layers=2)


@pytest.fixture(scope="module")
def pipeline(folder):
    pipeline = StableVideoDiffusionPipeline.from_pretrained(folder)
    for part in PARTS:
        for parameter in getattr(pipeline, part).parameters():
            # Out of the mapped file: how MKL sums a product with one row depends on where the matrix begins.
            parameter.data = parameter.data.clone()
    return pipeline


@pytest.fixture(scope="module")
def ours(folder):
    files = describe_miniature(folder, layers=2)
    return {part: load(files, torch.float32, "cpu") for part, load in PARTS.items()}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def make(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_unet_input(clips, frames, rows, columns, tokens=1):
    ids = torch.tensor([[6.0, 127.0, 0.02], [29.0, 20.0, 0.1]])[:clips]
    return make(clips, frames, 8, rows, columns), torch.tensor(1.6377), make(clips, tokens, 32, seed=1), ids


def make_picture(rows, columns):
    return np.random.RandomState(0).randint(0, 256, (rows, columns, 3), np.uint8)


# ---- bit for bit ---------------------------------------------------------------------------------------------


MORE = pytest.mark.thorough("other sizes; even and odd sides and both numbers of frames have a case")


@pytest.mark.parametrize(("clips", "frames", "rows", "columns"), [
    (1, 14, 16, 16), (2, 25, 4, 6), (2, 3, 7, 5), (2, 14, 1, 3),
    *(pytest.param(*shape, marks=MORE) for shape in [(2, 14, 16, 16), (1, 25, 8, 16), (2, 25, 10, 22), (1, 14, 9, 15)]),
])  # fmt: skip
def test_the_unet_is_equal(pipeline, ours, clips, frames, rows, columns):
    """At any size, also where a side halves to an odd number."""
    inputs = make_unet_input(clips, frames, rows, columns)
    assert torch.equal(ours["unet"](*inputs), pipeline.unet(*inputs).sample)


def test_the_unet_is_equal_for_a_single_frame(pipeline, ours):
    """In float64: for one row of numbers kernels are chosen by processor and stride, and differ in the last bits of float32."""
    inputs = [one.double() for one in make_unet_input(1, 1, 8, 8)]
    mine, theirs = (copy.deepcopy(unet).double() for unet in (ours["unet"], pipeline.unet))
    torch.testing.assert_close(mine(*inputs), theirs(*inputs).sample, rtol=1e-12, atol=1e-12)


def test_the_unet_is_equal_with_several_tokens_and_noise_levels(pipeline, ours):
    x, _, context, ids = make_unet_input(2, 3, 8, 8, tokens=5)
    inputs = (x, torch.tensor([1.6, -1.5]), context, ids)
    assert torch.equal(ours["unet"](*inputs), pipeline.unet(*inputs).sample)


@pytest.mark.parametrize(
    ("frames", "rows", "columns"),
    [*((frames, 3, 4) for frames in (1, 2, 14)), *(pytest.param(frames, 5, 8, marks=MORE) for frames in (1, 2, 8, 14, 25))],
)
def test_decoding_is_equal_whatever_is_decoded_at_once(pipeline, ours, frames, rows, columns):
    latents = 5 * make(frames, 4, rows, columns)
    assert torch.equal(ours["vae"].decode(latents, frames), pipeline.vae.decode(latents, num_frames=frames).sample)


def test_decoding_two_clips_at_once_is_equal(pipeline, ours):
    latents = 5 * make(4, 4, 3, 3)
    assert torch.equal(ours["vae"].decode(latents, 2), pipeline.vae.decode(latents, num_frames=2).sample)


@pytest.mark.parametrize(("pictures", "rows", "columns"), [(1, 64, 64), (2, 72, 120), (1, 128, 96), (1, 65, 63), (1, 8, 8)])
def test_encoding_is_equal(pipeline, ours, pictures, rows, columns):
    pixels = make(pictures, 3, rows, columns)
    assert torch.equal(ours["vae"].encode(pixels), pipeline.vae.encode(pixels).latent_dist.mode())


@pytest.mark.parametrize("pictures", [1, 2])
def test_the_image_tower_is_equal(pipeline, ours, pictures):
    pixels = make(pictures, 3, 224, 224)
    assert torch.equal(ours["image_encoder"](pixels), pipeline.image_encoder(pixels).image_embeds)


@pytest.mark.parametrize(
    "size",
    [
        *((224, 224), (576, 1024), (64, 100), (225, 223), (448, 449), (2, 3), (223, 900)),
        *(pytest.param(size, marks=MORE) for size in [(1000, 333), (1500, 2000)]),
    ],
)
def test_clip_is_fed_the_same_pixels(pipeline, ours, size):
    picture = make_picture(*size)
    fed = []
    hook = pipeline.image_encoder.register_forward_pre_hook(lambda _, args: fed.append(args[0]))
    embedding = pipeline._encode_image(Image.fromarray(picture), "cpu", 1, do_classifier_free_guidance=False)
    hook.remove()
    pixels = clip_pixels(picture, FEATURE_EXTRACTOR["image_mean"], FEATURE_EXTRACTOR["image_std"], 224)
    assert torch.equal(pixels, fed[0])
    assert torch.equal(ours["image_encoder"](pixels)[:, None], embedding)


# ---- layer by layer ------------------------------------------------------------------------------------------


def watch(network):
    """Return what modules put out, by name, filled as the network runs."""
    seen = {}

    def note(name):
        def hook(_module, _inputs, output):
            seen[name] = pick(output)

        return hook

    for name, module in network.named_modules():
        module.register_forward_hook(note(name))
    return seen


def pick(output):
    """Pick the tensor that a module hands on, out of what it returns."""
    if isinstance(output, dict):  # theirs, named
        return output.get("pooler_output", next(iter(output.values())))
    if isinstance(output, list):  # ours on the way down: everything kept, the last goes on
        return output[-1]
    return output[0] if isinstance(output, tuple) else output


def compare_layers(ours, theirs, run_ours, run_theirs):
    """Run both in float64; return how many modules were compared, the largest relative error and where it is."""
    ours, theirs = copy.deepcopy(ours).double(), copy.deepcopy(theirs).double()
    mine, other = watch(ours), watch(theirs)
    run_ours(ours)
    run_theirs(theirs)
    with_weights = {name.rpartition(".")[0] for name, _ in ours.named_parameters()}
    never_called = {"vision_model.embeddings", "vision_model.embeddings.position_embedding"}
    assert with_weights - mine.keys() <= never_called
    errors = {name: float((x - other[name]).abs().max() / other[name].abs().max()) for name, x in mine.items()}
    worst = max(errors, key=errors.__getitem__)
    return len(errors), errors[worst], worst


def test_every_layer_of_the_unet_is_equal_in_float64(pipeline, ours):
    def run(unet):
        return unet(*(x.double() for x in make_unet_input(2, 3, 8, 9, tokens=2)))

    count, error, where = compare_layers(ours["unet"], pipeline.unet, run, run)
    assert count > 1000
    assert error <= 1e-12, where


def test_every_layer_of_the_vae_is_equal_in_float64(pipeline, ours):
    pixels, latents = make(2, 3, 40, 32).double(), make(6, 4, 5, 4).double()
    count, error, where = compare_layers(
        ours["vae"],
        pipeline.vae,
        lambda vae: (vae.encode(pixels), vae.decode(latents, 3)),
        lambda vae: (vae.encode(pixels), vae.decode(latents, num_frames=3)),
    )
    assert count > 250
    assert error <= 1e-12, where


def test_every_layer_of_the_image_tower_is_equal_in_float64(pipeline, ours):
    def run(tower):
        return tower(make(2, 3, 224, 224).double())

    count, error, where = compare_layers(ours["image_encoder"], pipeline.image_encoder, run, run)
    assert count > 25
    assert error <= 1e-12, where
