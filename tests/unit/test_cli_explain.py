"""cli/explain.py: the same settings in the numbers of other tools."""

import json
import re

import pytest

from unstill.cli import main
from unstill.cli.explain import TOOLS
from unstill.equivalents import equivalents
from unstill.request import Request, settle


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """No configuration and an empty cache."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("UNSTILL_CONFIG", raising=False)
    return tmp_path


@pytest.mark.parametrize("columns", ["60", "80", "169", "170", "250"])
def test_every_number_of_every_tool_is_there_at_any_width(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["explain", "--motion", "180", "--guidance", "1.5:2.5"]) == 0
    out = "".join(capsys.readouterr().out.split())
    for row in equivalents(settle(Request(motion=180, guidance="1.5:2.5", seed=1), "svd-xt", 25)):
        if row.knob != "seed":
            assert all(re.split(r", | \(", getattr(row, tool))[0].replace(" ", "") in out for tool in TOOLS)


def test_fps_and_noise_are_translated(capsys):
    assert main(["explain", "--fps", "10", "--noise", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "fps_id=9" in out
    assert "augmentation_level=0.05" in out


def test_the_preset_of_the_checkpoint_is_applied_without_its_files(capsys):
    assert main(["explain", "--model", "svd", "--preset", "stability", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["knobs"]["steps"], answer["knobs"]["guidance"], answer["knobs"]["frames"]) == (25, "1:2.5", 14)
    assert {row["knob"] for row in answer["equivalents"]} >= {"motion", "noise", "fps", "steps", "guidance"}


def test_a_seed_is_told_only_when_there_is_one(capsys):
    main(["explain"])
    assert "manual_seed" not in capsys.readouterr().out
    main(["explain", "--seed", "7"])
    assert "torch.manual_seed(7)" in capsys.readouterr().out


def test_settings_outside_training_are_warned_about(capsys):
    assert main(["explain", "--noise", "0.3"]) == 0
    assert "warning: noise 0.3 is above 0.135" in capsys.readouterr().err


def test_what_no_row_holds_is_told_at_the_end(capsys):
    assert main(["explain", "--fit", "blur", "--play-fps", "12"]) == 0
    assert capsys.readouterr().out.endswith("\nAlso set: fit blur\n")


def test_the_configuration_counts(place, capsys):
    (place / "unstill").mkdir()
    (place / "unstill" / "config.toml").write_text("[animate]\nmotion = 42\n")
    assert main(["explain"]) == 0
    assert "motion_bucket_id=42" in capsys.readouterr().out


def test_an_unknown_model_is_not_guessed_at(capsys):
    assert main(["explain", "--model", "svd-xxt"]) == 4
    assert "did you mean" in capsys.readouterr().err
