"""What a name or path leads to: known models, the Hugging Face cache, folders and single files."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import unstill
from unstill.catalog.find import find_model, guess_single
from unstill.catalog.fingerprint import fingerprint
from unstill.catalog.inventory import list_models
from unstill.catalog.known import CATALOG, is_repository, look_up, suggest
from unstill.catalog.record import Licence, Record, load_record, make_licence, read_licence, save_record
from unstill.errors import ModelError, ModelMissing, WeightsError

PARTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "image_encoder": "model"}
COMMIT, OLDER = "a" * 40, "b" * 40


def make_folder(folder: Path, variants=("fp16",), frames: int | None = 14) -> Path:
    """A model in the diffusers layout whose weights are a few bytes that say what they are."""
    configs = {f"{part}/config.json": {"part": part} for part in PARTS}
    configs |= {"scheduler/scheduler_config.json": {}, "feature_extractor/preprocessor_config.json": {}}
    configs["unet/config.json"] = {"_class_name": "UNetSpatioTemporalConditionModel"}
    if frames is not None:
        configs["unet/config.json"]["num_frames"] = frames
    configs["model_index.json"] = {"_class_name": "StableVideoDiffusionPipeline"}
    for name, config in configs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(config))
    for variant in variants:
        for part, stem in PARTS.items():
            (folder / part / f"{stem}{'.fp16' if variant == 'fp16' else ''}.safetensors").write_text(f"{part} {variant}")
    return folder


def repository_folder(cache: Path, repository: str) -> Path:
    return cache / f"models--{repository.replace('/', '--')}"


def make_cached(cache: Path, repository: str, commit: str = COMMIT, main: bool = True, **more) -> Path:
    """A snapshot as huggingface_hub lays it out: links to blobs that bear their digest."""
    root = repository_folder(cache, repository)
    snapshot, blobs = root / "snapshots" / commit, root / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    make_folder(snapshot, **more)
    for path in [path for path in snapshot.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        kind = hashlib.sha256 if path.suffix == ".safetensors" else hashlib.sha1
        blob = blobs / kind(content).hexdigest()
        blob.write_bytes(content)
        path.unlink()
        path.symlink_to(os.path.relpath(blob, path.parent))
    if main:
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / "main").write_text(commit)
    return snapshot


def names(files) -> dict[str, list[str]]:
    return {part: [path.name for path in paths] for part, paths in files.weights.items()}


class TestNames:
    @pytest.mark.parametrize("name", list(CATALOG))
    def test_a_model_answers_to_its_name_and_its_repository(self, name):
        model = CATALOG[name]
        assert look_up(name) is look_up(model.repository) is look_up(name.upper()) is look_up(name.replace("-", "_")) is model

    def test_the_three_are_not_mixed_up(self):
        assert {model.frames: model.family for model in CATALOG.values()} == {14: "svd", 25: "svd-xt-1.1"}
        assert look_up("svd-xt-1-1").name == "svd-xt-1.1"
        assert look_up("svd-xt-2") is look_up("img2vid") is None

    def test_sizes_are_those_of_the_published_parameters(self):
        """4.51 GB and 9.02 GB, as the files are listed."""
        assert round(CATALOG["svd"].expected_bytes("fp16") / 1e9, 2) == 4.51
        assert round(CATALOG["svd"].expected_bytes("fp32") / 1e9, 2) == 9.02

    @pytest.mark.parametrize(("written", "meant"), [("svd-tx", "svd-xt"), ("sdv", "svd"), ("SVD XT", "svd-xt"), ("flux", None)])
    def test_a_misspelt_name_suggests_the_nearest(self, written, meant):
        assert suggest(written) == meant

    @pytest.mark.parametrize("name", ["a/b", "stabilityai/x.y_z-1", "A1/9"])
    def test_repositories(self, name):
        assert is_repository(name)

    @pytest.mark.parametrize(
        "name", ["a", "a/b/c", "../b", "a/..", "a/b--c", "/b", "a/", "a b/c", "a/b\n", "a/" + "b" * 97, "é/b"]
    )
    def test_no_repositories(self, name):
        assert not is_repository(name)


class TestFolders:
    def test_a_folder_is_read_by_its_layout(self, tmp_path):
        files = find_model(str(make_folder(tmp_path / "my-model")))
        assert (files.name, files.layout, files.family, files.frames) == ("my-model", "diffusers", "svd", 14)
        assert set(files.configs) == {"unet", "vae", "image_encoder", "scheduler", "feature_extractor"}
        assert files.configs["vae"] == {"part": "vae"}
        assert names(files)["unet"] == ["diffusion_pytorch_model.fp16.safetensors"]
        assert files.weights_bytes == len("unet fp16" + "vae fp16" + "image_encoder fp16")
        assert (files.revision, files.licence) == (None, None)

    @pytest.mark.parametrize("prefer", ["fp16", "fp32"])
    def test_of_two_variants_the_preferred_one_is_taken(self, tmp_path, prefer):
        files = find_model(str(make_folder(tmp_path / "m", ("fp16", "fp32"))), prefer=prefer)
        assert {paths[0].read_text() for paths in files.weights.values()} == {f"{part} {prefer}" for part in PARTS}

    @pytest.mark.parametrize(("prefer", "there"), [("fp16", "fp32"), ("fp32", "fp16")])
    def test_if_only_the_other_is_there_it_is_taken(self, tmp_path, prefer, there):
        files = find_model(str(make_folder(tmp_path / "m", (there,))), prefer=prefer)
        assert files.weights["unet"][0].read_text() == f"unet {there}"

    def test_a_complete_set_is_worth_more_than_the_preferred_variant(self, tmp_path):
        folder = make_folder(tmp_path / "m", ("fp16", "fp32"))
        (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
        files = find_model(str(folder), prefer="fp16")
        assert {paths[0].read_text().split()[1] for paths in files.weights.values()} == {"fp32"}

    def test_variants_are_mixed_only_when_there_is_no_other_way(self, tmp_path):
        folder = make_folder(tmp_path / "m", ("fp16", "fp32"))
        (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
        (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
        files = find_model(str(folder))
        assert [files.weights[part][0].read_text() for part in ("unet", "vae")] == ["unet fp16", "vae fp32"]

    @pytest.mark.parametrize("pattern", ["model.fp16-0000{}-of-00002", "model-0000{}-of-00002.fp16"])
    def test_shards_are_one_part_and_must_all_be_there(self, tmp_path, pattern):
        folder = make_folder(tmp_path / "m")
        (folder / "image_encoder" / "model.fp16.safetensors").unlink()
        shards = [folder / "image_encoder" / f"{pattern.format(number)}.safetensors" for number in (1, 2)]
        for shard in shards:
            shard.write_text("half of it")
        assert find_model(str(folder)).weights["image_encoder"] == tuple(shards)
        shards[0].unlink()
        with pytest.raises(WeightsError, match=r"lacks image_encoder/model\.safetensors"):
            find_model(str(folder))

    @pytest.mark.parametrize(
        ("name", "frames", "family", "found"),
        [
            ("x", 14, "svd", 14),
            ("x", 25, "svd-xt", 25),
            ("x", None, "svd-xt", 25),
            ("svd-xt-1-1", 25, "svd-xt-1.1", 25),
            ("svd_xt_1.1", 25, "svd-xt-1.1", 25),
            ("v1.14-25", 25, "svd-xt", 25),
            ("x", 8, "svd", 8),
        ],
    )
    def test_frames_come_from_the_config_and_the_family_from_them(self, tmp_path, name, frames, family, found):
        files = find_model(str(make_folder(tmp_path / name, frames=frames)))
        assert (files.family, files.frames) == (family, found)

    @pytest.mark.parametrize("frames", [0, -1, 2000, 14.5, "14", True, None, [14]])
    def test_frames_that_are_no_number_of_frames_are_refused(self, tmp_path, frames):
        folder = make_folder(tmp_path / "m")
        (folder / "unet" / "config.json").write_text(json.dumps({"num_frames": frames}))
        with pytest.raises(WeightsError, match=r"m/unet/config\.json: num_frames must be"):
            find_model(str(folder))

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is not JSON"),
            (b"{", "is not JSON"),
            (b"\xff\xfe\xfd", "is not JSON"),
            (b"[" * 10_000 + b"]" * 10_000, "is not JSON"),
            (b"[]", "must hold a JSON object, not list"),
            (b"12", "must hold a JSON object, not int"),
            (b'{"a": "' + b"x" * (1 << 20) + b'"}', "is larger than"),
        ],
    )
    def test_a_broken_config_is_named(self, tmp_path, content, said):
        folder = make_folder(tmp_path / "m")
        (folder / "scheduler" / "scheduler_config.json").write_bytes(content)
        with pytest.raises(WeightsError, match=rf"m/scheduler/scheduler_config\.json {said}"):
            find_model(str(folder))

    def test_what_is_missing_is_listed(self, tmp_path):
        folder = make_folder(tmp_path / "m")
        (folder / "vae" / "config.json").unlink()
        (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
        with pytest.raises(WeightsError, match=r"lacks unet/diffusion_pytorch_model\.safetensors, vae/config\.json"):
            find_model(str(folder))

    def test_pickles_are_refused_and_not_opened(self, tmp_path):
        folder = make_folder(tmp_path / "m", ())
        for part in PARTS:
            os.mkfifo(folder / part / "diffusion_pytorch_model.bin")  # opening one would hang
            (folder / part / "diffusion_pytorch_model.ckpt").write_bytes(b"\x80\x04.")
        with pytest.raises(WeightsError, match="safetensors only, since pickles can run code"):
            find_model(str(folder))

    def test_a_folder_of_checkpoints_points_at_the_file(self, tmp_path):
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "svd_xt.safetensors").write_bytes(b"x")
        with pytest.raises(WeightsError) as caught:
            find_model(str(tmp_path / "checkpoints"))
        assert caught.value.hint == "to use the single file, name it: checkpoints/svd_xt.safetensors"

    def test_relative_and_home_paths(self, tmp_path, monkeypatch):
        make_folder(tmp_path / "m")
        monkeypatch.chdir(tmp_path / "m")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert find_model(".").name == find_model("~/m").name == find_model("../m").name == "m"

    def test_errors_do_not_tell_where_the_folder_is(self, tmp_path):
        (tmp_path / "m").mkdir()
        with pytest.raises(WeightsError) as caught:
            find_model(str(tmp_path / "m"))
        assert str(tmp_path) not in str(caught.value)

    def test_weights_without_a_digest_have_a_fingerprint_by_their_names_in_the_model(self, tmp_path):
        folder = make_folder(tmp_path / "m")
        before, name = find_model(str(folder)).sha256, "vae/diffusion_pytorch_model.fp16.safetensors"
        assert set(before) == {*(f"{part}/{stem}.fp16.safetensors" for part, stem in PARTS.items())}
        assert all(digest.startswith("sampled-sha256:") for digest in before.values())
        (folder / name).write_text("vae fp61")
        after = find_model(str(folder)).sha256
        assert {key for key in before if before[key] != after[key]} == {name}


class TestSingleFiles:
    @pytest.mark.parametrize(
        ("name", "family", "frames"),
        [
            ("svd.safetensors", "svd", 14),
            ("svd_image_decoder.safetensors", "svd", 14),
            ("svd_xt.safetensors", "svd-xt", 25),
            ("svd_xt_image_decoder.safetensors", "svd-xt", 25),
            ("svd_xt_1_1.safetensors", "svd-xt-1.1", 25),
            ("SVD-XT-1.1-fp16.safetensors", "svd-xt-1.1", 25),
            ("stable-video-diffusion-img2vid.safetensors", "svd", 14),
            ("my_finetune.safetensors", "svd-xt", 25),
            ("svd_next.safetensors", "svd", 14),
        ],
    )
    def test_family_and_frames_come_from_the_name(self, tmp_path, name, family, frames):
        (tmp_path / name).write_bytes(b"weights")
        files = find_model(str(tmp_path / name))
        assert (files.name, files.layout, files.family, files.frames) == (name, "single-file", family, frames)
        assert files.weights == {"checkpoint": (tmp_path / name,)}
        assert (files.configs, files.weights_bytes) == ({}, 7)
        assert files.sha256 == {name: fingerprint(tmp_path / name)}

    def test_every_published_name_is_understood_as_the_catalogue_says(self):
        for model in CATALOG.values():
            assert {guess_single(name) for name in model.single_files} == {(model.family, model.frames)}

    @pytest.mark.parametrize("name", ["svd.ckpt", "svd.bin", "svd.pt"])
    def test_pickles_are_refused(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"\x80\x04.")
        with pytest.raises(WeightsError, match="since pickles can run code"):
            find_model(str(tmp_path / name))

    def test_what_is_no_file_is_refused_without_opening_it(self, tmp_path):
        os.mkfifo(tmp_path / "svd.safetensors")
        (tmp_path / "gone.safetensors").symlink_to("nowhere")
        for name in ("svd.safetensors", "gone.safetensors"):
            with pytest.raises(WeightsError, match="neither a folder nor a regular file"):
                find_model(str(tmp_path / name))

    def test_other_files_are_refused(self, tmp_path):
        (tmp_path / "photo.jpg").write_bytes(b"x")
        with pytest.raises(WeightsError, match=r"photo\.jpg is not a \.safetensors file"):
            find_model(str(tmp_path / "photo.jpg"))


class TestCache:
    def test_a_known_model_is_found_by_name_and_by_repository(self, tmp_path):
        snapshot = make_cached(tmp_path, CATALOG["svd"].repository)
        for name in ("svd", "SVD", CATALOG["svd"].repository):
            files = find_model(name, cache=tmp_path)
            assert (files.name, files.family, files.frames, files.revision) == ("svd", "svd", 14, COMMIT)
            assert files.weights["vae"] == (snapshot / "vae" / "diffusion_pytorch_model.fp16.safetensors",)

    def test_hashes_are_read_off_the_names_of_the_blobs(self, tmp_path):
        make_cached(tmp_path, CATALOG["svd"].repository)
        files = find_model("svd", cache=tmp_path)
        assert files.sha256["vae/diffusion_pytorch_model.fp16.safetensors"] == hashlib.sha256(b"vae fp16").hexdigest()
        assert {len(digest) for digest in files.sha256.values()} == {64}

    def test_frames_of_a_known_model_are_the_catalogues(self, tmp_path):
        make_cached(tmp_path, CATALOG["svd-xt-1.1"].repository, frames=14)
        assert find_model("svd-xt-1.1", cache=tmp_path).frames == 25

    def test_any_repository_is_found_by_its_name(self, tmp_path):
        make_cached(tmp_path, "someone/finetune")
        files = find_model("someone/finetune", cache=tmp_path)
        assert (files.name, files.family, files.frames) == ("someone/finetune", "svd", 14)

    def test_the_main_branch_comes_first_then_the_newest(self, tmp_path):
        repository = CATALOG["svd"].repository
        make_cached(tmp_path, repository, COMMIT)
        make_cached(tmp_path, repository, OLDER, main=False)
        assert find_model("svd", cache=tmp_path).revision == COMMIT
        (repository_folder(tmp_path, repository) / "refs" / "main").unlink()
        os.utime(repository_folder(tmp_path, repository) / "snapshots" / COMMIT, (1, 1))
        assert find_model("svd", cache=tmp_path).revision == OLDER
        assert find_model("svd", revision=COMMIT, cache=tmp_path).revision == COMMIT

    def test_an_unfinished_new_revision_leaves_the_old_one_in_use(self, tmp_path):
        make_cached(tmp_path, CATALOG["svd"].repository, OLDER, main=False)
        snapshot = make_cached(tmp_path, CATALOG["svd"].repository, COMMIT)
        (snapshot / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
        assert find_model("svd", cache=tmp_path).revision == OLDER

    def test_an_interrupted_download_is_not_a_model_yet(self, tmp_path):
        snapshot = make_cached(tmp_path, CATALOG["svd"].repository)
        (snapshot / "unet" / "diffusion_pytorch_model.fp16.safetensors").resolve().unlink()
        with pytest.raises(ModelMissing, match="only in part") as caught:
            find_model("svd", cache=tmp_path)
        assert "unstill pull svd" in caught.value.hint

    def test_a_missing_model_says_where_it_was_looked_for_and_how_to_get_it(self, tmp_path):
        with pytest.raises(ModelMissing) as caught:
            find_model("svd-xt", cache=tmp_path)
        assert "Hugging Face cache (HF_HOME, HF_HUB_CACHE)" in caught.value.message
        assert caught.value.hint == "`unstill pull svd-xt` fetches it"

    @pytest.mark.parametrize(
        "name", ["svd-tx", "svd xt", "./svdxt", "", "a/b/c", "x" * 5000, "a\0b", "~nobody-here/x", "..\\.."]
    )
    def test_what_is_no_name_is_refused_with_a_next_step(self, tmp_path, name, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises((ModelMissing, WeightsError)):
            find_model(name, cache=tmp_path)

    def test_a_near_miss_is_suggested(self, tmp_path):
        with pytest.raises(ModelMissing) as caught:
            find_model("svd-tx", cache=tmp_path)
        assert caught.value.hint == "did you mean svd-xt?"

    def test_a_short_name_stays_the_models_and_a_longer_one_may_be_a_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        make_folder(tmp_path / "svd")
        make_folder(tmp_path / "stabilityai" / "stable-video-diffusion-img2vid")
        with pytest.raises(ModelMissing):
            find_model("svd", cache=tmp_path / "cache")
        assert find_model("./svd").name == "svd"
        assert find_model(CATALOG["svd"].repository).name == "stable-video-diffusion-img2vid"

    def test_the_single_file_of_a_repository_serves_when_nothing_else_is_there(self, tmp_path):
        snapshot = repository_folder(tmp_path, CATALOG["svd-xt"].repository) / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        (snapshot / "svd_xt.safetensors").write_bytes(b"x")
        files = find_model("svd-xt", cache=tmp_path)
        assert (files.layout, files.name, files.frames, files.revision) == ("single-file", "svd-xt", 25, COMMIT)

    def test_a_revision_cannot_lead_out_of_the_cache(self, tmp_path):
        make_cached(tmp_path, CATALOG["svd"].repository)
        with pytest.raises(ModelMissing):
            find_model("svd", revision="../../../x", cache=tmp_path)


class TestInventory:
    def test_known_models_are_listed_whether_they_are_here_or_not(self, tmp_path):
        make_cached(tmp_path, CATALOG["svd"].repository, variants=("fp16", "fp32"))
        bundled, svd, xt, newer = list_models(tmp_path)
        assert (bundled.name, bundled.state, bundled.here_bytes < 40e6) == ("pocket", "complete", True)
        assert (svd.name, svd.state, svd.variants, svd.revision) == ("svd", "complete", ("fp16", "fp32"), COMMIT)
        assert svd.here_bytes == sum(blob.stat().st_size for blob in {path.resolve() for path in svd.snapshot.rglob("*.*")})
        assert (xt.name, xt.state, xt.here_bytes) == ("svd-xt", "absent", 0)
        assert newer.known.gated

    def test_part_of_a_model_is_listed_as_such(self, tmp_path):
        blobs = repository_folder(tmp_path, CATALOG["svd"].repository) / "blobs"
        blobs.mkdir(parents=True)
        (blobs / "abc.incomplete").write_bytes(b"12345")
        svd = list_models(tmp_path)[1]
        assert (svd.state, svd.here_bytes, svd.revision) == ("partial", 5, None)

    def test_other_video_models_in_the_cache_are_listed_and_other_models_are_not(self, tmp_path):
        make_cached(tmp_path, "someone/finetune")
        text = repository_folder(tmp_path, "someone/text") / "snapshots" / COMMIT
        text.mkdir(parents=True)
        (text / "config.json").write_text("{}")
        broken = repository_folder(tmp_path, "someone/broken") / "snapshots" / COMMIT
        broken.mkdir(parents=True)
        (broken / "model_index.json").write_text("{")
        (tmp_path / "models--a-file").write_text("")
        assert [row.name for row in list_models(tmp_path)] == ["pocket", *CATALOG, "someone/finetune"]

    def test_a_cache_that_does_not_exist_holds_nothing(self, tmp_path):
        assert {row.state for row in list_models(tmp_path / "none")[1:]} == {"absent"}

    def test_a_cache_that_cannot_be_read_is_an_error_with_a_next_step(self, tmp_path):
        with pytest.raises(ModelError, match="the Hugging Face cache cannot be read: File name too long") as caught:
            list_models(tmp_path / ("x" * 300))
        assert "HF_HOME" in caught.value.hint

    def test_a_snapshot_with_a_broken_link_does_not_hide_the_rest(self, tmp_path):
        """huggingface_hub's own scan leaves such a repository out altogether."""
        import huggingface_hub

        snapshot = make_cached(tmp_path, CATALOG["svd"].repository)
        (snapshot / "vae" / "config.json").resolve().unlink()
        assert list(huggingface_hub.scan_cache_dir(tmp_path).repos) == []
        assert list_models(tmp_path)[1].state == "partial"


class TestRecords:
    record = Record("svd", CATALOG["svd"].repository, COMMIT, "main", "2026-11-21T08:00:00+00:00", Licence("other", "terms"))

    def test_a_record_is_read_back_as_it_was_written(self, tmp_path):
        make_cached(tmp_path, CATALOG["svd"].repository)
        folder = repository_folder(tmp_path, CATALOG["svd"].repository)
        save_record(folder, self.record)
        assert load_record(folder, COMMIT) == self.record
        assert find_model("svd", cache=tmp_path).licence == "terms"

    @pytest.mark.parametrize(
        "content", [b"", b"{}", b"[]", b'{"format": 1, "licence": {}}', b'{"format": 1, "licence": 3}', b"\xff"]
    )
    def test_a_record_that_cannot_be_read_counts_as_none(self, tmp_path, content):
        make_cached(tmp_path, CATALOG["svd"].repository)
        folder = repository_folder(tmp_path, CATALOG["svd"].repository)
        save_record(folder, self.record).write_bytes(content)
        assert load_record(folder, COMMIT) is None
        assert find_model("svd", cache=tmp_path).revision == COMMIT

    def test_what_was_not_pulled_has_no_record(self, tmp_path):
        make_cached(tmp_path, CATALOG["svd"].repository)
        assert load_record(repository_folder(tmp_path, CATALOG["svd"].repository), COMMIT) is None

    @pytest.mark.parametrize(
        ("card", "licence"),
        [
            ("---\nlicense: other\nlicense_name: terms\nlicense_link: LICENSE.md\n---\n# x", Licence("other", "terms")),
            ("---\r\npipeline_tag: x\r\nlicense: 'mit'\r\n---\r\n", Licence("mit")),
            ('---\nlicense: other\nlicense_link: "https://a.b/c"\n---\n', Licence("other", None, "https://a.b/c")),
            ("# no front matter\nlicense: mit\n", None),
            ("---\ntags: []\n---\n", None),
            ("", None),
        ],
    )
    def test_the_licence_of_other_downloads_is_read_from_the_card(self, tmp_path, card, licence):
        (tmp_path / "README.md").write_bytes(card.encode())
        assert read_licence(tmp_path) == licence

    def test_a_licence_cannot_write_on_the_terminal(self):
        licence = make_licence(
            {"license": "a\x1b[2Jb\n", "license_name": ["list"], "license_link": "javascript:x"}, "LICENSE", "p"
        )
        assert licence == Licence("a[2Jb", None, "p/javascript:x", "LICENSE")


def test_importing_the_catalogue_loads_neither_torch_nor_huggingface_hub():
    code = "import sys, unstill.catalog; print([name for name in ('torch', 'numpy', 'huggingface_hub') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_finding_a_model_opens_no_connection_and_needs_no_torch(tmp_path):
    make_cached(tmp_path, CATALOG["svd"].repository)
    code = (
        "import socket, sys; socket.socket = None; from unstill.catalog.find import find_model; from unstill.catalog.inventory import list_models;"
        "find_model('svd'); list_models(); print([name for name in ('torch', 'httpx2') if name in sys.modules])"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment).stdout == "[]\n"


def test_one_module_beside_the_client_of_servers_imports_the_http_client():
    source = Path(unstill.__file__).parent
    names = [path.relative_to(source).as_posix() for path in source.rglob("*.py") if "import httpx2" in path.read_text()]
    assert [name for name in names if not name.startswith("client/")] == ["catalog/hub.py"]
