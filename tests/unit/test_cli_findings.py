"""cli/findings.py and cli/doctor.py: what is looked at, and what is said of it."""

import json
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from unstill.catalog.inventory import ModelStatus
from unstill.catalog.known import CATALOG
from unstill.cli import findings, main
from unstill.cli.doctor import count
from unstill.cli.findings import NOTE, OK, PROBLEM
from unstill.memory.machine import Machine

GPU = Machine("cuda:0", "NVIDIA H200", 150_000_000_000, 10_000_000_000, ("fp16", "bf16", "fp32"))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """No configuration, no variables of the hub."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in (*findings.VARIABLES, "HF_TOKEN", "UNSTILL_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def make_torch(**parts):
    """A torch as other machines have it; of 1.x if nothing is said."""
    version = SimpleNamespace(cuda=parts.pop("cuda", None), hip=None)
    cuda = SimpleNamespace(is_available=lambda: parts.get("works", False))
    nn = SimpleNamespace(functional=SimpleNamespace(**parts.get("functions", {})))
    return SimpleNamespace(__version__=parts.get("number", "1.13.1"), version=version, cuda=cuda, nn=nn)


def test_a_torch_without_fused_attention_is_a_problem_with_a_remedy():
    (found,) = findings.look_at_attention(make_torch(), GPU)
    assert found.state == PROBLEM
    assert "tens of gigabytes" in found.what
    assert "torch>=2.7" in found.remedy


def test_a_torch_whose_kernels_cannot_be_chosen_is_a_problem_with_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.nn.attention", None)  # as in torch 2.0 to 2.2: there is no such module
    old = make_torch(number="2.1.2", functions={"scaled_dot_product_attention": print})
    (found,) = findings.look_at_attention(old, GPU)
    assert found.state == PROBLEM
    assert found.what == "torch 2.1.2 has no torch.nn.attention: it is older than what unstill is made for"
    assert "torch>=2.7" in found.remedy


def test_a_kernel_that_torch_does_not_know_is_one_that_does_not_work(monkeypatch):
    known = SimpleNamespace(FLASH_ATTENTION=1, EFFICIENT_ATTENTION=2, MATH=0)  # as in torch 2.3
    monkeypatch.setitem(sys.modules, "torch.nn.attention", SimpleNamespace(SDPBackend=known, sdpa_kernel=nullcontext))
    (found,) = findings.look_at_attention(torch, Machine("cpu", "CPU", None, None, ("fp32",)))
    assert (found.state, found.what.endswith("flash, memory-efficient, plain (not cuDNN)")) == (OK, True)


def test_doctor_goes_on_after_an_old_torch(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.nn.attention", None)
    assert main(["doctor", "--json"]) == 6
    answer = json.loads(capsys.readouterr().out)
    assert [found["topic"] for found in answer["findings"] if found["state"] == PROBLEM] == ["attention"]
    assert answer["findings"][-1]["topic"] == "models"


def test_attention_is_tried_and_not_looked_up():
    (found,) = findings.look_at_attention(torch, Machine("cpu", "CPU", None, None, ("fp32",)))
    assert found.state == OK
    assert "on cpu in fp32: flash, plain" in found.what


@pytest.mark.parametrize(("cuda", "said"), [(None, "was built without CUDA"), ("12.8", "torch cannot use it")])
def test_a_gpu_that_torch_cannot_use_is_a_problem(monkeypatch, tmp_path, cuda, said):
    monkeypatch.setattr(findings, "DRIVER", tmp_path)
    found = list(findings.look_at_torch(make_torch(cuda=cuda)))[1]
    assert (found.state, said in found.what) == (PROBLEM, True)
    assert found.remedy


def test_without_a_driver_a_cpu_build_is_fine(monkeypatch, tmp_path):
    monkeypatch.setattr(findings, "DRIVER", tmp_path / "none")
    assert [found.state for found in findings.look_at_torch(make_torch())] == [OK]


def test_codecs_are_asked_for_by_name():
    states = {found.what.split(":")[0]: found.state for found in findings.look_at_codecs(False)}
    assert states == {"libx264": OK, "libvpx-vp9": OK, "libsvtav1": OK, "gif": OK}
    assert not findings.has_encoder("libnothing")


def test_an_encoder_counts_when_it_encodes():
    assert findings.encodes("libx264")
    assert not findings.encodes("h264_v4l2m2m")


def test_a_missing_encoder_is_as_bad_as_what_it_is_for(monkeypatch):
    monkeypatch.setattr(findings, "ENCODERS", {"libnothing": ("H.264 in mp4", PROBLEM)})
    (found,) = findings.look_at_codecs(False)
    assert (found.state, found.what) == (PROBLEM, "libnothing is missing, so no H.264 in mp4")


def test_a_token_is_told_of_and_never_shown(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    said = " ".join(found.what for found in findings.look_at_settings())
    assert "HF_TOKEN is set" in said
    assert "secret" not in said


def test_passwords_in_an_endpoint_are_not_shown(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://me:secret@hub.example.com/x")
    said = " ".join(found.what for found in findings.look_at_settings())
    assert "hub.example.com" in said
    assert "secret" not in said


def test_being_offline_is_worth_a_note(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert next(findings.look_at_settings()).state == NOTE


def test_a_broken_configuration_is_a_problem(monkeypatch, tmp_path):
    (tmp_path / "c.toml").write_text("[animate]\nmotion = 300\n")
    monkeypatch.setenv("UNSTILL_CONFIG", str(tmp_path / "c.toml"))
    assert [found.state for found in findings.look_at_settings()][-1] == PROBLEM


@pytest.mark.parametrize(
    ("state", "free_bytes", "finding", "said"),
    [("absent", 10**11, NOTE, "svd-xt is not here; it would run on cuda:0 in fp16"), ("partial", 10**11, NOTE, "only in part"),
     ("complete", 10**11, OK, "svd-xt is here and runs on cuda:0 in fp16: 4.5 GB of weights"),
     ("complete", 10**9, NOTE, "do not fit on cuda:0 in fp16 at once: 1.0 GB are free"), ("complete", None, OK, "is here and runs")],
)  # fmt: skip
def test_a_model_is_judged_by_what_is_here_and_what_is_free(state, free_bytes, finding, said):
    known = CATALOG["svd-xt"]
    row = ModelStatus(known.name, known.repository, known.about, state, 0, known=known)
    machine = Machine("cuda:0", "GPU", 10**11, free_bytes, ("fp16", "fp32"))
    judged = findings.judge_model(row, machine)
    assert judged.state == finding
    assert said in judged.what


def test_doctor_says_all_of_it_and_ends_well_on_a_machine_that_works(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for topic in ("Programs", "Attention", "Devices", "Codecs", "Settings", "Models"):
        assert f"\n{topic}\n" in f"\n{out}"
    assert "No problems, " in out


def test_doctor_as_json_holds_the_same(capsys):
    assert main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert {found["topic"] for found in answer["findings"]} == {
        "programs",
        "attention",
        "devices",
        "codecs",
        "settings",
        "models",
    }


def test_doctor_ends_with_the_machines_exit_code_when_something_is_wrong(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("UNSTILL_CONFIG", str(tmp_path / "none.toml"))
    assert main(["doctor", "--json"]) == 6
    assert json.loads(capsys.readouterr().out)["ok"] is False


@pytest.mark.parametrize(("number", "text"), [(0, "No notes"), (1, "1 note"), (2, "2 notes")])
def test_things_are_counted(number, text):
    assert count(number, "note") == text
