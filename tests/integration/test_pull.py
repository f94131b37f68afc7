"""Downloads from a hub on loopback: what is fetched, what is resumed, what is refused and how it is said."""

import functools
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from hub import Faults, LoopbackHub
from unstill.catalog.find import find_model
from unstill.catalog.hub import Hub
from unstill.catalog.inventory import list_models
from unstill.catalog.known import CATALOG
from unstill.catalog.pull import Pulled, carry_out, plan_pull, pull
from unstill.catalog.record import Record, load_record
from unstill.errors import DiskFull, DownloadError, ModelGated, ModelMissing, UnstillError, WeightsError, WriteError

REPOSITORY = CATALOG["svd-xt"].repository
LICENCE = b"You may look at it.\n"
CARD = {"license": "other", "license_name": "stable-video-diffusion-community", "license_link": "LICENSE.md"}
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
UNET_BYTES = 300_000


def noise(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def make_files() -> dict[str, bytes]:
    """The files of the real repository by name, with bytes that only their digest knows."""
    return dict(draw_files())


@functools.cache
def draw_files() -> Mapping[str, bytes]:
    """Make them; this takes longer than most downloads."""
    configs = {"unet": {"num_frames": 25}, "vae": {"part": "vae"}, "image_encoder": {"part": "image_encoder"}}
    files = {f"{part}/config.json": json.dumps(config).encode() for part, config in configs.items()}
    files |= {"scheduler/scheduler_config.json": b"{}", "feature_extractor/preprocessor_config.json": b"{}"}
    files |= {"model_index.json": b'{"_class_name": "StableVideoDiffusionPipeline"}', "LICENSE.md": LICENCE}
    files |= {"README.md": b"---\nlicense: other\n---\n# SVD\n", "output_tile.gif": b"GIF89a", ".gitattributes": b"*"}
    sizes = {"unet/diffusion_pytorch_model": UNET_BYTES, "vae/diffusion_pytorch_model": 50_000, "image_encoder/model": 70_000}
    for stem, size in sizes.items():
        files[f"{stem}.fp16.safetensors"] = noise(f"{stem}16", size)
        files[f"{stem}.safetensors"] = noise(stem, 2 * size)
    return files | {"svd_xt.safetensors": noise("single", 500_000), "svd_xt_image_decoder.safetensors": b"x"}


@pytest.fixture
def server():
    with LoopbackHub() as server:
        server.add(REPOSITORY, make_files(), card=CARD)
        yield server


@pytest.fixture
def hub(server, tmp_path) -> Hub:
    return Hub(server.url(), tmp_path / "cache", token=False, timeout_s=5, waits_s=(0.0, 0.0, 0.0))


def read_back(pulled: Pulled) -> Record:
    """Read the record that a pull wrote."""
    return load_record(pulled.plan.folder, pulled.plan.revision)


def names_of(path: Path) -> set[str]:
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}


class TestWhatIsFetched:
    def test_only_the_half_precision_variant_the_configs_the_card_and_the_licence(self, server, hub):
        pulled = pull("svd-xt", hub=hub)
        assert names_of(pulled.snapshot) == {
            "LICENSE.md",
            "README.md",
            "model_index.json",
            "feature_extractor/preprocessor_config.json",
            "image_encoder/config.json",
            "image_encoder/model.fp16.safetensors",
            "scheduler/scheduler_config.json",
            "unet/config.json",
            UNET,
            "vae/config.json",
            "vae/diffusion_pytorch_model.fp16.safetensors",
        }
        files = make_files()
        assert all((pulled.snapshot / name).read_bytes() == files[name] for name in names_of(pulled.snapshot))

    def test_full_precision_when_asked(self, hub):
        pulled = pull("svd-xt", full_precision=True, hub=hub)
        assert {name for name in names_of(pulled.snapshot) if name.endswith(".safetensors")} == {
            "unet/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
            "image_encoder/model.safetensors",
        }
        assert pulled.plan.variant == "fp32"

    def test_a_second_pull_asks_one_question_and_downloads_nothing(self, server, hub):
        pull("svd-xt", hub=hub)
        server.log.clear()
        assert plan_pull("svd-xt", hub=hub).fetch_bytes == 0
        pull("svd-xt", hub=hub)
        assert [asked.path for asked in server.log] == [f"/api/models/{REPOSITORY}/revision/main"] * 2

    def test_full_precision_beside_half_fetches_only_the_other_weights(self, server, hub):
        pull("svd-xt", hub=hub)
        server.log.clear()
        pulled = pull("svd-xt", full_precision=True, hub=hub)
        assert len(server.asked("/resolve/")) == 3
        assert len(read_back(pulled).sha256) == 14

    def test_what_arrived_is_found_with_its_revision_hashes_and_licence(self, server, hub):
        pull("svd-xt", hub=hub)
        files = find_model("svd-xt", cache=hub.cache)
        assert (files.name, files.family, files.frames, files.layout) == ("svd-xt", "svd-xt", 25, "diffusers")
        assert files.revision == server.repositories[REPOSITORY].commit
        assert files.sha256[UNET] == hashlib.sha256(make_files()[UNET]).hexdigest()
        assert files.weights_bytes == UNET_BYTES + 50_000 + 70_000
        assert files.licence == "stable-video-diffusion-community"

    def test_any_repository_of_the_hub_can_be_pulled_by_its_name(self, server, hub):
        server.add("someone/svd-finetune", make_files())
        pull("someone/svd-finetune", hub=hub)
        assert find_model("someone/svd-finetune", cache=hub.cache).name == "someone/svd-finetune"
        assert "someone/svd-finetune" in {row.name for row in list_models(hub.cache)}

    def test_a_repository_without_halves_is_pulled_as_it_is_and_says_so(self, server, hub):
        server.add("someone/full", {name: content for name, content in make_files().items() if ".fp16." not in name})
        assert plan_pull("someone/full", hub=hub).variant == "fp32"

    def test_one_revision_can_be_asked_for(self, server, hub):
        commit = server.repositories[REPOSITORY].commit
        assert pull("svd-xt", revision=commit, hub=hub).record.revision == commit
        assert find_model("svd-xt", revision=commit, cache=hub.cache).revision == commit

    def test_a_new_revision_shares_the_files_that_stayed(self, server, hub):
        pull("svd-xt", hub=hub)
        old = server.repositories[REPOSITORY].commit
        server.add(REPOSITORY, make_files() | {"vae/config.json": b'{"new": 1}'}, card=CARD)
        server.log.clear()
        pull("svd-xt", hub=hub)
        assert [asked.path.rpartition("/resolve/")[2][41:] for asked in server.asked("/resolve/")] == ["vae/config.json"]
        assert find_model("svd-xt", cache=hub.cache).configs["vae"] == {"new": 1}
        assert find_model("svd-xt", revision=old, cache=hub.cache).configs["vae"] == {"part": "vae"}


class TestPlan:
    def test_sizes_and_licence_are_known_before_anything_is_fetched(self, server, hub):
        plan = plan_pull("svd-xt", hub=hub)
        small = sum(len(content) for name, content in make_files().items() if name in {file.path for file in plan.files[:8]})
        assert plan.total_bytes == plan.fetch_bytes == small + UNET_BYTES + 50_000 + 70_000
        assert plan.files[-1].path == UNET
        assert str(plan.licence) == "stable-video-diffusion-community"
        assert plan.licence.link == f"https://huggingface.co/{REPOSITORY}/blob/{plan.revision}/LICENSE.md"
        assert not hub.cache.exists()
        assert server.asked("/resolve/") == []

    def test_progress_counts_up_to_the_total(self, hub):
        seen = []
        plan = plan_pull("svd-xt", hub=hub)
        carry_out(plan, seen.append)
        assert [step.done_bytes for step in seen] == sorted(step.done_bytes for step in seen)
        assert seen[-1].done_bytes == seen[-1].total_bytes == plan.total_bytes
        assert [step.file for step in seen if step.stage == "done"] == [file.path for file in plan.files]

    def test_the_record_holds_revision_hashes_and_the_licence_that_came(self, server, hub):
        pulled = pull("svd-xt", hub=hub)
        record = read_back(pulled)
        assert record == pulled.record
        assert (record.repository, record.asked_revision) == (REPOSITORY, "main")
        assert record.revision == server.repositories[REPOSITORY].commit
        assert record.licence.sha256 == hashlib.sha256(LICENCE).hexdigest()
        assert pulled.licence_text.read_bytes() == LICENCE
        files = make_files()
        assert record.sha256 == {f.path: hashlib.sha256(files[f.path]).hexdigest() for f in pulled.plan.files}
        assert record.pulled_at.endswith("+00:00")


class TestResume:
    def test_a_broken_transfer_goes_on_where_it_broke(self, server, hub):
        server.faults = Faults(break_after_bytes=100_000, breaks=1)
        pulled = pull("svd-xt", hub=hub)
        assert list_unet(server) == [(None, 100_000), ("bytes=100000-", UNET_BYTES - 100_000)]
        assert (pulled.snapshot / UNET).read_bytes() == make_files()[UNET]

    def test_every_break_costs_no_more_than_itself(self, server, hub):
        """More breaks than attempts in a row are allowed: what arrives renews the patience."""
        server.faults = Faults(break_after_bytes=40_000, breaks=9)
        pull("svd-xt", hub=hub)
        assert [asked for asked, _ in list_unet(server)] == [None, *(f"bytes={n * 40_000}-" for n in range(1, 8))]

    def test_an_interrupted_pull_is_resumed_by_the_next_one(self, server, hub):
        """The second pull asks for the rest alone; huggingface_hub itself would begin again."""
        server.faults = Faults(break_after_bytes=120_000, breaks=99)
        impatient = Hub(hub.endpoint, hub.cache, token=False, timeout_s=5, waits_s=())
        with pytest.raises(DownloadError) as caught:
            pull("svd-xt", hub=impatient)
        assert "what has arrived is kept" in caught.value.hint
        assert caught.value.retryable
        with pytest.raises(ModelMissing, match="only in part"):
            find_model("svd-xt", cache=hub.cache)
        assert not list(hub.cache.rglob("refs/main")), "a branch must not lead to half a model"
        assert next(row.state for row in list_models(hub.cache) if row.name == "svd-xt") == "partial"
        server.faults = Faults()
        server.log.clear()
        rest = UNET_BYTES - 120_000
        assert plan_pull("svd-xt", hub=hub).fetch_bytes == rest
        pull("svd-xt", hub=hub)
        assert list_unet(server) == [("bytes=120000-", rest)]
        assert len(server.asked("/resolve/")) == 1
        assert find_model("svd-xt", cache=hub.cache).sha256[UNET] == hashlib.sha256(make_files()[UNET]).hexdigest()

    def test_a_killed_process_loses_nothing_that_arrived(self, server, hub):
        server.faults = Faults(pause_s=0.1)
        child = start_child(PULL, server, hub.cache)
        partial = hub.cache / f"models--{REPOSITORY.replace('/', '--')}" / "blobs"
        wait_for(lambda: any(path.stat().st_size > 30_000 for path in partial.glob("*.incomplete")))
        child.send_signal(signal.SIGKILL)
        child.wait()
        kept = max(path.stat().st_size for path in partial.glob("*.incomplete"))
        server.faults = Faults()
        server.log.clear()
        pull("svd-xt", hub=hub)
        assert f"bytes={kept}-" in [asked.range for asked in server.log]
        assert not list(partial.glob("*.incomplete"))

    def test_a_server_without_ranges_sends_everything_and_the_file_is_still_right(self, server, hub):
        server.faults = Faults(break_after_bytes=100_000, breaks=1, without_ranges=True)
        pulled = pull("svd-xt", hub=hub)
        assert list_unet(server) == [(None, 100_000), ("bytes=100000-", UNET_BYTES)]
        assert (pulled.snapshot / UNET).read_bytes() == make_files()[UNET]

    def test_a_server_without_ranges_that_always_breaks_is_given_up(self, server, hub):
        """What arrives again is not progress."""
        server.faults = Faults(break_after_bytes=100_000, breaks=99, without_ranges=True)
        with pytest.raises(DownloadError, match="cannot be reached"):
            pull("svd-xt", hub=hub)
        assert [sent for _, sent in list_unet(server)] == [100_000] * 4

    def test_a_part_that_is_longer_than_the_file_is_thrown_away(self, server, hub):
        blobs = hub.cache / f"models--{REPOSITORY.replace('/', '--')}" / "blobs"
        blobs.mkdir(parents=True)
        (blobs / f"{hashlib.sha256(make_files()[UNET]).hexdigest()}.incomplete").write_bytes(b"x" * (UNET_BYTES + 1))
        pull("svd-xt", hub=hub)
        assert find_model("svd-xt", cache=hub.cache)

    def test_errors_of_the_server_are_tried_again_a_few_times(self, server, hub):
        server.faults = Faults(errors=2)
        pull("svd-xt", hub=hub)
        assert [asked.status for asked in server.log[:3]] == [503, 503, 200]

    def test_and_then_given_up(self, server, hub):
        server.faults = Faults(errors=99)
        with pytest.raises(DownloadError, match=f"{server.url()} answered 503 for {REPOSITORY}"):
            pull("svd-xt", hub=hub)
        assert len(server.log) == 4

    def test_two_pulls_at_once_fetch_every_file_once(self, server, hub):
        server.faults = Faults(pause_s=0.02)
        children = [start_child(PULL, server, hub.cache) for _ in range(2)]
        assert [child.wait(30) for child in children] == [0, 0]
        assert len([asked for asked in server.log if asked.server == "store"]) == 3


def list_unet(server) -> list[tuple[str | None, int]]:
    """What the store was asked for of the largest file, and how much of it it sent."""
    digest = hashlib.sha256(make_files()[UNET]).hexdigest()
    return [(asked.range, asked.sent_bytes) for asked in server.asked(digest)]


class TestRefusals:
    @pytest.mark.parametrize("token", [False, "hf_of_a_stranger"])
    def test_a_gated_model_names_the_page_and_the_variable(self, server, hub, token):
        gated = CATALOG["svd-xt-1.1"].repository
        server.add(gated, make_files(), card=CARD, gated_for=frozenset({"hf_of_a_friend"}))
        stranger = Hub(hub.endpoint, hub.cache, token=token, waits_s=())
        plan = plan_pull("svd-xt-1.1", hub=stranger)
        assert plan.gated
        assert plan.total_bytes > 400_000
        with pytest.raises(ModelGated) as caught:
            carry_out(plan)
        assert f"https://huggingface.co/{gated}" in caught.value.hint
        assert "HF_TOKEN" in caught.value.hint
        assert "hf auth login" in caught.value.hint
        assert "hf_of" not in str(caught.value)

    def test_an_accepted_token_opens_it_and_stays_with_the_hub(self, server, hub):
        gated = CATALOG["svd-xt-1.1"].repository
        server.add(gated, make_files(), card=CARD, gated_for=frozenset({"hf_of_a_friend"}))
        pull("svd-xt-1.1", hub=Hub(hub.endpoint, hub.cache, token="hf_of_a_friend"))
        assert {asked.token for asked in server.log if asked.server == "hub"} == {"hf_of_a_friend"}
        assert {asked.token for asked in server.log if asked.server == "store"} == {None}
        assert b"hf_of_a_friend" not in b"".join(path.read_bytes() for path in hub.cache.rglob("*.json"))

    @pytest.mark.parametrize(
        ("refusal", "token", "error", "said"),
        [
            ((401, None), "hf_old", ModelGated, "does not accept the token"),
            ((401, "RepoNotFound"), False, ModelGated, "gated, private, or does not exist"),
            ((401, "GatedRepo"), False, ModelGated, "is gated"),
            ((403, "GatedRepo"), "hf_old", ModelGated, "has not accepted its licence"),
            ((403, None), "hf_old", ModelGated, "accepted its licence"),
            ((404, "RepoNotFound"), False, ModelMissing, "the hub has no model"),
            ((404, "RevisionNotFound"), False, ModelMissing, "no such revision"),
            ((404, "EntryNotFound"), False, ModelMissing, "lists a file that it does not have"),
            ((418, None), False, DownloadError, "answered 418"),
            ((429, None), False, DownloadError, "too many requests"),
            ((500, None), False, DownloadError, "answered 500"),
        ],
    )
    def test_every_refusal_is_said_in_our_words_with_a_next_step(self, server, hub, refusal, token, error, said):
        server.faults = Faults(refusal=refusal)
        with pytest.raises(error, match=said) as caught:
            pull("svd-xt", hub=Hub(hub.endpoint, hub.cache, token=token, waits_s=()))
        assert caught.value.hint
        assert "hf_old" not in str(caught.value)

    @pytest.mark.parametrize("status", [401, 403, 404, 418])
    def test_a_refusal_is_not_asked_for_again(self, server, hub, status):
        server.faults = Faults(refusal=(status, None))
        with pytest.raises(UnstillError):
            pull("svd-xt", hub=hub)
        assert len(server.log) == 1

    def test_a_near_miss_of_a_repository_suggests_the_known_one(self, hub):
        with pytest.raises(ModelMissing) as caught:
            pull("stabilityai/stable-video-difusion-img2vid-xt", hub=hub)
        assert caught.value.hint == "did you mean svd-xt?"

    @pytest.mark.parametrize(
        "raw", [b"<html>Please log in</html>", b"[]", b"{}", b'{"sha": 1, "siblings": []}', b"null", b"[" * 100_000]
    )
    def test_a_login_page_in_between_is_not_taken_for_a_hub(self, server, hub, raw):
        server.faults = Faults(raw=raw)
        with pytest.raises(DownloadError, match="does not answer as a Hugging Face hub"):
            pull("svd-xt", hub=hub)

    @pytest.mark.parametrize(
        "name", ["../outside.json", "/etc/passwd", "unet/../../outside.json", "a\\..\\b", "C:/x", "unet//x"]
    )
    def test_a_listing_that_leads_outside_is_refused_as_a_whole(self, server, hub, name):
        server.add("someone/evil", make_files() | {name: b"{}"})
        with pytest.raises(WeightsError, match="outside itself"):
            pull("someone/evil", hub=hub)
        assert not hub.cache.exists()

    def test_pickles_alone_are_refused(self, server, hub):
        files = {name.replace(".safetensors", ".bin"): content for name, content in make_files().items()}
        server.add("someone/old", files)
        with pytest.raises(WeightsError, match="safetensors only"):
            pull("someone/old", hub=hub)
        assert server.asked("/resolve/") == []

    def test_another_kind_of_model_is_refused_before_anything_is_fetched(self, server, hub):
        server.add("someone/text", {"config.json": b"{}", "model.safetensors": b"x"})
        with pytest.raises(WeightsError, match=r"lacks unet/diffusion_pytorch_model\.safetensors"):
            pull("someone/text", hub=hub)

    @pytest.mark.parametrize("name", ["svd-tx", "nothing", "a/b/c", "../up", "a--b/c", ""])
    def test_what_cannot_be_a_repository_is_not_asked_for(self, server, hub, name):
        with pytest.raises(ModelMissing):
            pull(name, hub=hub)
        assert server.log == []


class TestWrongBytes:
    def test_bytes_that_are_not_what_the_hub_states_are_thrown_away_and_fetched_again(self, server, hub):
        server.faults = Faults(spoilt=UNET)
        with pytest.raises(WeightsError, match="is not what the hub states"):
            pull("svd-xt", hub=hub)
        digest = hashlib.sha256(make_files()[UNET]).hexdigest()
        assert not list(hub.cache.rglob(f"{digest}*[!k]"))  # the lock may stay
        server.faults = Faults()
        server.log.clear()
        pull("svd-xt", hub=hub)
        assert [asked.range for asked in server.asked(digest)] == [None]

    def test_small_files_are_checked_too(self, server, hub):
        server.faults = Faults(spoilt="vae/config.json")
        with pytest.raises(WeightsError, match=r"vae/config\.json is not what the hub states"):
            pull("svd-xt", hub=hub)

    def test_a_file_that_something_else_put_there_is_checked_once(self, server, hub):
        pulled = pull("svd-xt", hub=hub)
        (pulled.plan.folder / "unstill" / f"{pulled.record.revision}.json").unlink()
        spoil(pulled.snapshot / UNET)
        server.log.clear()
        again = pull("svd-xt", hub=hub)
        assert (again.snapshot / UNET).read_bytes() == make_files()[UNET]
        assert len(server.asked("/resolve/")) == 1

    def test_a_truncated_file_is_fetched_anew(self, server, hub):
        pulled = pull("svd-xt", hub=hub)
        blob = (pulled.snapshot / UNET).resolve()
        blob.write_bytes(blob.read_bytes()[:1000])
        pull("svd-xt", hub=hub)
        assert (pulled.snapshot / UNET).read_bytes() == make_files()[UNET]


def spoil(path: Path) -> None:
    blob = path.resolve()
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


class TestDisk:
    def test_a_disk_that_is_too_small_is_noticed_before_the_download(self, server, hub):
        plan = plan_pull("svd-xt", hub=hub, free_bytes=lambda folder: 400_000)
        assert not plan.fits
        with pytest.raises(DiskFull, match="does not fit") as caught:
            carry_out(plan)
        assert "HF_HOME" in caught.value.hint
        assert server.asked("/resolve/") == []

    def test_a_place_that_cannot_be_written_is_an_error_with_a_next_step(self, hub, tmp_path):
        (tmp_path / "file").write_text("")
        for cache in (tmp_path / "file" / "cache", tmp_path / ("x" * 300)):
            with pytest.raises(WriteError, match="the Hugging Face cache cannot be written") as caught:
                pull("svd-xt", hub=Hub(hub.endpoint, cache, token=False))
            assert "HF_HUB_CACHE" in caught.value.hint

    def test_five_percent_must_stay(self, hub):
        total = plan_pull("svd-xt", hub=hub).total_bytes
        assert not plan_pull("svd-xt", hub=hub, free_bytes=lambda folder: int(total * 1.049)).fits
        assert plan_pull("svd-xt", hub=hub, free_bytes=lambda folder: int(total * 1.051)).fits

    def test_a_disk_that_fills_up_on_the_way_says_so_and_keeps_what_arrived(self, server, tmp_path):
        """On a real file system of 300 kB, mounted where only the child sees it."""
        command = f'mount -t tmpfs -o size=300k none {tmp_path} && {sys.executable} -c "$CODE" && ls -l {tmp_path}/m*/blobs'
        code = (
            "from unstill.catalog.pull import pull\n"
            "from unstill.errors import DiskFull\n"
            "try: pull('svd-xt', free_bytes=lambda folder: 10**9)\n"
            "except DiskFull as error: print(error)"
        )
        child = start_child(["unshare", "-rm", "sh", "-c", command], server, tmp_path, CODE=code)
        said, complained = child.communicate()
        if "unshare" in complained or "mount" in complained:
            pytest.skip(f"no file system can be mounted here: {complained.strip()}")
        assert "no room is left on the disk" in said, complained
        assert "what has arrived is kept" in said
        assert [int(line.split()[4]) > 50_000 for line in said.splitlines() if line.endswith(".incomplete")] == [True]


PULL = "from unstill.catalog.pull import pull; print(pull('svd-xt').snapshot)"


def start_child(code: str | list[str], server, cache: Path | None, **more: str) -> subprocess.Popen:
    """Start Python with the settings of huggingface_hub in its environment, where it reads them when imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment = {**kept, "HF_ENDPOINT": server.url(), **({"HF_HUB_CACHE": str(cache)} if cache else {}), **more}
    command = [sys.executable, "-c", code] if isinstance(code, str) else code
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(happens, limit_s: float = 20) -> None:
    end = time.monotonic() + limit_s
    while not happens():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class TestSettings:
    def test_home_endpoint_and_token_come_from_the_environment(self, server, tmp_path):
        gated = CATALOG["svd-xt-1.1"].repository
        server.add(gated, make_files(), gated_for=frozenset({"hf_mine"}))
        code = PULL.replace("svd-xt", "svd-xt-1.1") + "; from unstill.catalog.find import find_model; find_model('svd-xt-1.1')"
        child = start_child(code, server, None, HF_HOME=str(tmp_path / "home"), HF_TOKEN="hf_mine")
        said, complained = child.communicate()
        assert (child.returncode, complained) == (0, "")
        assert Path(said.strip()).is_relative_to(tmp_path / "home" / "hub")
        assert {asked.token for asked in server.log if asked.server == "hub"} == {"hf_mine"}

    def test_offline_mode_is_named_and_asks_nothing(self, server, tmp_path):
        child = start_child(PULL, server, tmp_path, HF_HUB_OFFLINE="1")
        assert "offline mode is on (HF_HUB_OFFLINE" in child.communicate()[1]
        assert server.log == []

    def test_a_model_that_is_here_is_found_in_offline_mode(self, server, hub):
        pull("svd-xt", hub=hub)
        server.log.clear()
        code = "from unstill.catalog.find import find_model; print(find_model('svd-xt').frames)"
        assert start_child(code, server, hub.cache, HF_HUB_OFFLINE="1").communicate()[0] == "25\n"
        assert server.log == []

    def test_an_endpoint_that_nobody_serves_is_named_with_its_variable(self, tmp_path):
        with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:9 cannot be reached") as caught:
            pull("svd-xt", hub=Hub("http://127.0.0.1:9", tmp_path, waits_s=()))
        assert "HF_ENDPOINT" in caught.value.hint
        assert caught.value.retryable

    @pytest.mark.parametrize("endpoint", ["not a url", "ftp://127.0.0.1", "http://[", ""])
    def test_an_endpoint_that_is_no_address_is_a_clear_error(self, tmp_path, endpoint):
        with pytest.raises(DownloadError) as caught:
            pull("svd-xt", hub=Hub(endpoint, tmp_path, waits_s=()))
        assert "HF_ENDPOINT" in caught.value.hint

    def test_a_password_in_the_address_of_a_mirror_is_not_repeated(self, tmp_path):
        with pytest.raises(DownloadError) as caught:
            pull("svd-xt", hub=Hub("http://me:secret@127.0.0.1:9", tmp_path, waits_s=()))
        assert "secret" not in str(caught.value)

    def test_a_hub_that_falls_silent_is_given_up(self, server, hub):
        server.faults = Faults(pause_s=3)
        with pytest.raises(DownloadError, match="ReadTimeout"):
            pull("svd-xt", hub=Hub(hub.endpoint, hub.cache, token=False, timeout_s=0.2, waits_s=()))


class TestTheCacheStaysThatOfHuggingFace:
    def test_huggingface_hub_finds_what_was_pulled(self, server, hub):
        import huggingface_hub

        pulled = pull("svd-xt", hub=hub)
        found = huggingface_hub.snapshot_download(REPOSITORY, cache_dir=hub.cache, local_files_only=True)
        assert Path(found) == pulled.snapshot
        info = huggingface_hub.scan_cache_dir(hub.cache)
        assert info.warnings == []
        assert not info.incomplete_files
        (repository,) = info.repos
        assert (repository.repo_id, set(repository.refs)) == (REPOSITORY, {"main"})

    def test_what_huggingface_hub_downloaded_is_found_and_not_fetched_again(self, server, hub):
        """It also shows that this hub answers as huggingface_hub expects of one."""
        import huggingface_hub

        wanted = ["*.json", "*.fp16.safetensors", "README.md"]
        huggingface_hub.snapshot_download(
            REPOSITORY, cache_dir=hub.cache, endpoint=hub.endpoint, token=False, allow_patterns=wanted
        )
        files = find_model("svd-xt", cache=hub.cache)
        assert files.sha256[UNET] == hashlib.sha256(make_files()[UNET]).hexdigest()
        assert files.licence == "other"
        server.log.clear()
        pull("svd-xt", hub=hub)
        assert [asked.path.rpartition("/")[2] for asked in server.asked("/resolve/")] == ["LICENSE.md"]

    def test_a_pulled_miniature_holds_the_bytes_of_the_original(self, server, hub, miniature):
        server.add("someone/miniature", miniature)
        pull("someone/miniature", hub=hub)
        files = find_model("someone/miniature", cache=hub.cache)
        assert (files.family, files.frames) == ("svd", 14)
        assert files.weights["unet"][0].read_bytes() == (miniature / "unet/diffusion_pytorch_model.safetensors").read_bytes()
