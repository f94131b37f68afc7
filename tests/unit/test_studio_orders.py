"""Fields as clients send them become orders, or all that is wrong with them is said."""

import pytest

from unstill.errors import RequestError
from unstill.studio.orders import IGNORED, read_order
from unstill.values import MOTION_WORDS

# The requests of vLLM-Omni's page on image to video, without their pictures.
OTHERS = {
    "prompt": "A bear playing with yarn, smooth motion", "negative_prompt": "low quality, blurry, static", "width": "832",
    "height": "480", "num_frames": "33", "fps": "16", "num_inference_steps": "40", "guidance_scale": "1.0", "guidance_scale_2": "1.0",
    "boundary_ratio": "0.875", "flow_shift": "12.0", "extra_params": '{"sample_solver":"euler"}', "seed": "42",
}  # fmt: skip


def read(**fields):
    return read_order(fields, "digest")


def problems(**fields) -> list[str]:
    with pytest.raises(RequestError) as caught:
        read(**fields)
    return list(caught.value.problems)


def test_what_other_servers_take_is_taken_and_what_means_nothing_here_is_said():
    ticket = read(**OTHERS)
    knobs = ticket.order.knobs
    assert (knobs["size"], knobs["frames"], knobs["fps"], knobs["steps"], knobs["seed"]) == ("832x480", 33, 16, 40, 42)
    said = [warning.split()[0] for warning in ticket.warnings]
    assert said == [
        "prompt",
        "negative_prompt",
        "guidance_scale",
        "guidance_scale_2",
        "boundary_ratio",
        "flow_shift",
        "extra_params",
    ]
    assert all(" is ignored: " in warning for warning in ticket.warnings)


def test_ignored_fields_may_hold_anything_and_are_not_said_if_empty():
    assert read(**dict.fromkeys(IGNORED, "")).warnings == ()
    assert len(read(**{name: {"deep": [[[]]]} for name in IGNORED}).warnings) == len(IGNORED)


def test_a_name_that_nobody_knows_is_refused_with_the_nearest():
    assert problems(num_frame="33", whatever="1") == [
        "'num_frame' is not a knob; did you mean num_frames?",
        "'whatever' is not a knob",
    ]


def test_all_problems_are_said_whatever_they_are_of():
    found = problems(motion="300", priority="high", device="cuda", model="/etc/passwd", format="png", size={"w": 1})
    assert [word.split()[0].strip("'") for word in found] == ["size", "device", "model", "format", "priority", "motion"]
    assert problems(motion="300", seconds="never")[0].startswith("motion ")


LIES = [float("nan"), float("inf"), 1e308, -1, 10**400, "9" * 5000, "--5", "²", "nan", True, [], [[1]], {"a": 1}, "\ud800"]
NAMES = ["seconds", "priority", "motion", "fps", "size", "focus", "move", "seed", "model", "camera", "max_bytes", "loop"]
TRUE = [("priority", -1), ("loop", True)]  # what is no lie


@pytest.mark.parametrize("name", NAMES)
def test_values_that_lie_are_problems_and_nothing_else(name):
    for value in LIES:
        if (name, value) not in TRUE:
            assert problems(**{name: value})[0].startswith((name, f"'{name}'")), value


def test_titles_are_short():
    assert read(title="x" * 500).order.title == "x" * 200
    assert read(title=5, priority=-3).order.priority == -3


def test_seconds_set_frames_or_the_rate():
    assert read(seconds="2").order.knobs["frames"] == 14
    assert read(seconds="4", num_frames="25").order.knobs["play_fps"] == 6.25
    assert read(want_motion="subtle").order.knobs["want_motion"] == MOTION_WORDS["subtle"]


@pytest.mark.parametrize(
    ("called", "title"),
    [("harbour at night.jpg", "harbour at night"), ("../../etc/shadow.png", "shadow"), ("C:\\photos\\pier.v2.JPG", "pier.v2"),
     (".png", ".png"), ("a\tb\x00\u202ec .jpg", "a b c"), ("blob", ""), ("upload", ""), ("Picture.png", ""), ("", ""), ("x" * 300, "x" * 200)],
)  # fmt: skip
def test_a_clip_is_called_as_the_file_that_was_sent(called, title):
    assert read_order({}, "digest", None, called).order.title == title
    assert read_order({"title": "mine"}, "digest", None, called).order.title == "mine"
    assert read_order({"title": ""}, "digest", None, called).order.title == title


@pytest.mark.parametrize(
    ("model", "near"),
    [("svd-tx", "; did you mean svd-xt?"), ("poket", "; did you mean pocket?"), ("SVD_XT_1.1", "; did you mean svd-xt-1.1?"),
     ("/etc/passwd", ""), (7, ""), ("stabilityai/stable-video-difusion-img2vid", "; did you mean svd?")],
)  # fmt: skip
def test_a_model_that_is_misspelt_is_answered_with_the_nearest(model, near):
    assert problems(model=model)[0] == f"model must be one of auto, pocket, svd, svd-xt, svd-xt-1.1{near}"
