"""Files become networks, or are refused before a device is touched."""

import hashlib
import json
import os
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from miniature import make_configs, make_miniature, make_parts
from model_files import describe_miniature
from unstill.errors import WeightsError
from unstill.model.config import CLIPConfig, UNetConfig, VAEConfig
from unstill.model.names import UNNEEDED, list_stored
from unstill.model.weights import list_wanted, load_image_tower, load_unet, load_vae, read_header

LOADERS = {"unet": load_unet, "vae": load_vae, "image_encoder": load_image_tower}


@pytest.fixture(scope="module")
def files(miniature):
    return describe_miniature(miniature)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return describe_miniature(make_miniature(tmp_path_factory.mktemp("single"), layout="single-file"))


def with_tower(files, tmp_path, tensors):
    """Put these tensors in place of the image tower's, the smallest part."""
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    return replace(files, weights={**files.weights, "image_encoder": (path,)})


def read_tower(files):
    return load_file(files.weights["image_encoder"][0])


def refuse(files, part="image_encoder"):
    """Return the error; a machine without the device would complain of that, had it been asked first."""
    with pytest.raises(WeightsError) as caught:
        LOADERS[part](files, torch.float16, "cuda")
    return caught.value


# ---- what is read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", LOADERS)
def test_the_network_holds_what_the_file_holds(files, part):
    network = LOADERS[part](files, torch.float32, "cpu")
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    stored = load_file(files.weights[part][0])
    state = network.state_dict()
    assert state.keys() == stored.keys()
    assert all(torch.equal(state[name], stored[name]) for name in stored)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2])
def test_both_layouts_load_to_the_same_tensors(tmp_path, layers):
    folder = make_miniature(tmp_path / "folder", layers=layers)
    single = make_miniature(tmp_path, layers=layers, layout="single-file")
    for load in LOADERS.values():
        one, other = (
            load(describe_miniature(path, layers=layers), torch.float32, "cpu").state_dict() for path in (folder, single)
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) and other[name].is_contiguous() for name in one)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_are_cast_as_asked(files, dtype):
    state = load_image_tower(files, dtype, "cpu").state_dict()
    assert all(torch.equal(state[name], tensor.to(dtype)) for name, tensor in read_tower(files).items())


def test_the_fp16_variant_loads(tmp_path):
    files = describe_miniature(make_miniature(tmp_path, fp16_variant=True), variant=".fp16")
    state = load_vae(files, torch.float32, "cpu").state_dict()
    wanted = make_parts(make_configs())["vae"]
    assert all(torch.equal(tensor, wanted[name].half().float()) for name, tensor in state.items())


def test_tensors_may_be_spread_over_shards(files, tmp_path):
    tensors = read_tower(files)
    names = sorted(tensors)
    paths = tuple(tmp_path / f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3))
    for i, path in enumerate(paths):
        save_file({name: tensors[name] for name in names[i::3]}, path)
    sharded = replace(files, weights={**files.weights, "image_encoder": paths})
    state = load_image_tower(sharded, torch.float32, "cpu").state_dict()
    assert all(torch.equal(state[name], tensors[name]) for name in names)
    again = replace(files, weights={**files.weights, "image_encoder": (*paths, paths[0])})
    assert "is in both model-00001-of-00003.safetensors and" in str(refuse(again))


def test_a_network_outlives_its_file(files, tmp_path):
    """Nothing stays mapped: a file that is replaced during a run must not take the process down."""
    tensors = read_tower(files)
    made = with_tower(files, tmp_path, tensors)
    tower = load_image_tower(made, torch.float32, "cpu")
    os.truncate(made.weights["image_encoder"][0], 0)
    assert all(torch.equal(tower.state_dict()[name], tensors[name]) for name in tensors)


def test_a_buffer_of_older_transformers_is_tolerated_by_name(files, tmp_path):
    tensors = {**read_tower(files), "vision_model.embeddings.position_ids": torch.arange(257)[None]}
    load_image_tower(with_tower(files, tmp_path, tensors), torch.float32, "cpu")


# ---- the original single file --------------------------------------------------------------------------------


def test_the_names_of_the_single_file_are_those_of_generative_models():
    """The digest is of the names and shapes that Stability's own modules have when built by svd_xt.yaml.

    With what they also hold and nothing here needs, they are 2,446 tensors of 9,559,279,140 bytes in float32:
    the published svd_xt.safetensors without its header.
    """
    wanted = {}
    for config in (UNetConfig(), VAEConfig(), CLIPConfig()):
        wanted |= {w.stored.name: w.shape for w in list_wanted("single-file", config).values()}
    assert len(wanted) == 2194
    text = "\n".join(sorted(f"{name} {list(shape)}" for name, shape in wanted.items()))
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest == "95c25f287d365717a7de67fa987d1f53a3b539adfdac08ec37ef5bd6a945bc74"


@pytest.mark.parametrize(
    ("config", "ours", "theirs"),
    [
        (UNetConfig(), "down_blocks.1.resnets.0.spatial_res_block.conv_shortcut.bias", "input_blocks.4.0.skip_connection.bias"),
        (UNetConfig(), "down_blocks.2.downsamplers.0.conv.weight", "input_blocks.9.0.op.weight"),
        (UNetConfig(), "mid_block.resnets.1.temporal_res_block.conv2.weight", "middle_block.2.time_stack.out_layers.3.weight"),
        (UNetConfig(), "up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        (UNetConfig(), "up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
        (UNetConfig(), "up_blocks.3.attentions.2.time_mixer.mix_factor", "output_blocks.11.1.time_mixer.mix_factor"),
    ],
)
def test_some_names_written_out(config, ours, theirs):
    """As read in generative-models' video_model.py."""
    assert list_stored("single-file", config, [ours])[ours].name == f"model.diffusion_model.{theirs}"


def test_a_single_file_without_configs_is_taken_for_the_published_model(single):
    error = refuse(replace(single, configs={}), "unet")
    assert "[32, 8, 3, 3] in place of [320, 8, 3, 3]" in error.message


def test_only_known_families_may_be_left_over_in_a_single_file(single, tmp_path):
    tensors = load_file(single.weights["checkpoint"][0])
    lean = {name: tensor for name, tensor in tensors.items() if not UNNEEDED["single-file"].fullmatch(name)}
    assert len(lean) < len(tensors)
    for case, extra in (("lean", {}), ("ema", {"model_ema.decay": torch.ones(1)})):
        path = tmp_path / f"{case}.safetensors"
        save_file({**lean, **extra}, path)
        files = replace(single, weights={"checkpoint": (path,)})
        if extra:
            assert "1 left over (model_ema.decay)" in refuse(files, "vae").message
        else:
            load_vae(files, torch.float32, "cpu")


def test_a_single_file_with_the_image_decoder_is_refused(single, tmp_path):
    """svd_image_decoder.safetensors decodes frame by frame: nothing over time is in it."""
    tensors = load_file(single.weights["checkpoint"][0])
    path = tmp_path / "svd_image_decoder.safetensors"
    save_file({n: t for n, t in tensors.items() if not (n.startswith("first_stage_model.decoder") and "time" in n)}, path)
    error = refuse(replace(single, weights={"checkpoint": (path,)}), "vae")
    assert error.message.startswith("svd_image_decoder.safetensors does not hold the vae of this model: ")
    assert "missing (first_stage_model.decoder.mid.block_1.time_stack.in_layers.0.weight; " in error.message


# ---- what is refused: tensors --------------------------------------------------------------------------------


def test_a_single_file_that_was_saved_anew_without_the_conditioner_is_refused_with_the_reason(single, tmp_path):
    """first_stage_model.encoder is no substitute: nothing in the file says what quant_conv did."""
    tensors = load_file(single.weights["checkpoint"][0])
    path = tmp_path / "svd_saved_anew.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if not name.startswith("conditioner.embedders.3.")}, path)
    error = refuse(replace(single, weights={"checkpoint": (path,)}), "vae")
    assert "missing (conditioner.embedders.3.encoder." in error.message
    assert "quant_conv is nowhere else" in error.hint


def test_missing_left_over_and_misshapen_tensors_are_counted_and_named(files, tmp_path):
    tensors = read_tower(files)
    del tensors["vision_model.pre_layrnorm.weight"]
    tensors["visual_projection.weight"] = torch.ones(32, 31)
    tensors["lora.up.weight"] = torch.ones(1)
    error = refuse(with_tower(files, tmp_path, tensors))
    assert error.message == (
        "model.safetensors does not hold the image_encoder of this model: 1 missing (vision_model.pre_layrnorm.weight), "
        "1 left over (lora.up.weight), 1 of another shape (visual_projection.weight: [32, 31] in place of [32, 32])"
    )
    assert "config.json" in error.hint


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float8_e4m3fn])
def test_numbers_of_another_kind_are_refused(files, tmp_path, dtype):
    tensors = read_tower(files)
    tensors["visual_projection.weight"] = tensors["visual_projection.weight"].to(dtype)
    message = refuse(with_tower(files, tmp_path, tensors)).message
    assert "1 not of F16, BF16, F32, F64 (visual_projection.weight: " in message


def test_an_error_names_five_tensors_at_most(files, tmp_path):
    message = refuse(with_tower(files, tmp_path, {"a": torch.ones(1)})).message
    assert "40 missing (" in message and message.count("vision_model") == 5 and "; …)" in message


def test_a_part_in_the_place_of_another_is_refused(files):
    swapped = replace(files, weights={**files.weights, "image_encoder": files.weights["vae"]})
    assert "370 left over" in refuse(swapped).message


def test_a_folder_without_a_config_is_refused(files):
    error = refuse(replace(files, configs={}))
    assert error.message == "image_encoder/config.json is missing"


# ---- what is refused: files ----------------------------------------------------------------------------------


def write_raw(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_header_says_the_type_and_shape_of_every_tensor(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(2, 3), "b": torch.ones(4, dtype=torch.float16), "c": torch.tensor(1)}, path, {"format": "pt"})
    assert read_header(path) == {"a": ("F32", (2, 3)), "b": ("F16", (4,)), "c": ("I64", ())}


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path):
    """One file in 32 begins with the byte 0x80."""
    text = json.dumps({"a": A}).ljust(0x80).encode()
    assert read_header(write_raw(tmp_path / "x.safetensors", text, bytes(8))) == {"a": ("F32", (2,))}


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 200, 4_000, -100, -1])
def test_a_truncated_file_is_refused(files, tmp_path, kept):
    whole = files.weights["image_encoder"][0].read_bytes()
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole[:kept])
    error = refuse(replace(files, weights={**files.weights, "image_encoder": (path,)}))
    assert error.message.startswith("model.safetensors is not a whole safetensors file: ")
    assert "download" in error.hint


def test_bytes_that_no_tensor_owns_are_refused(files, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(files.weights["image_encoder"][0].read_bytes() + b"\0")
    with pytest.raises(WeightsError, match="announced"):
        read_header(path)


A = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HEADERS = {
    "not JSON": b"{",
    "not text": b"\xff\xfe" * 20,
    "nested 100,000 deep": b"[" * 100_000,
    "a list": b"[]",
    "a number for a tensor": {"a": 1},
    "no type": {"a": {"shape": [2], "data_offsets": [0, 8]}},
    "an unknown type": {"a": {**A, "dtype": "F31"}},
    "a negative side": {"a": {**A, "shape": [-2]}},
    "an absurd side": {"a": {**A, "shape": [1 << 60]}},
    "a fractional side": {"a": {**A, "shape": [2.0]}},
    "a boolean side": {"a": {**A, "shape": [True]}},
    "too many axes": {"a": {**A, "shape": [1] * 9 + [2]}},
    "one offset": {"a": {**A, "data_offsets": [8]}},
    "offsets that do not fit the shape": {"a": {**A, "data_offsets": [0, 4]}},
    "offsets backwards": {"a": {**A, "data_offsets": [8, 0]}},
    "a gap": {"a": A, "b": {**A, "data_offsets": [12, 20]}},
    "an overlap": {"a": A, "b": {**A, "data_offsets": [4, 12]}},
    "a name twice": b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}',
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_with_a_defect_is_refused(tmp_path, case):
    path = write_raw(tmp_path / "x.safetensors", HEADERS[case], bytes(16))
    with pytest.raises(WeightsError, match=r"x\.safetensors is not a whole safetensors file: ") as caught:
        read_header(path)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("length", [17 << 20, 1 << 40, (1 << 64) - 1])
def test_a_huge_header_is_refused_unread(tmp_path, length):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", length))
    os.truncate(path, 20 << 20)
    with pytest.raises(WeightsError, match=f"announces a header of {length:,} bytes"):
        read_header(path)


@pytest.mark.parametrize("name", ["unet.bin", "svd.ckpt", "svd.pt", "svd.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_unopened_whatever_its_name(tmp_path, name, zipped):
    """By how it begins: torch writes archives, and wrote bare pickles before 1.6."""
    path = tmp_path / name
    torch.save({"a": torch.ones(1)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"is a pickle, which may run code.*only \.safetensors"):
        read_header(path)


def test_a_git_lfs_pointer_is_recognised(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3045000000\n")
    with pytest.raises(WeightsError, match="git-lfs pointer"):
        read_header(path)


def test_what_is_not_a_file_is_refused(tmp_path):
    """A pipe would wait for ever."""
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    for path, found in ((pipe, "is not a regular file"), (tmp_path, "is not a regular file"), (tmp_path / "no", "is missing")):
        with pytest.raises(WeightsError, match=found):
            read_header(path)


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = write_raw(tmp_path / "x.safetensors", {})
    monkeypatch.setattr(type(path), "open", deny)
    with pytest.raises(WeightsError, match=r"x\.safetensors cannot be read: Permission denied"):
        read_header(path)


def deny(*_, **__):
    raise PermissionError(13, "Permission denied")
