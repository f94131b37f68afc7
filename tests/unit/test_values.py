"""values.py: every kind of knob reads what people and programs write, and refuses the rest."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill import values
from unstill.values import Arrow, Arrows, Focus, Guidance, Size

HOSTILE = [
    math.nan,
    math.inf,
    -math.inf,
    "nan",
    "inf",
    "1e309",
    True,
    False,
    None,
    [],
    {},
    b"1",
    "",
    " ",
    "0x10",
    "1_0",
    "١",
    "9" * 5000,
    10**400,
    -(10**400),
]


@pytest.mark.parametrize("value", [v for v in HOSTILE if v is not None] + [-1, 256, 2.5, "2.5", 1e308])
def test_whole_refuses_what_is_not_a_whole_number_in_range(value):
    with pytest.raises(ValueError, match="must be a whole number from 0 to 255, not"):
        values.whole(0, 255)(value)


@pytest.mark.parametrize(("written", "read"), [(7, 7), ("7", 7), (" 7 ", 7), (7.0, 7), ("7.0", 7), ("1e2", 100)])
def test_whole_reads_numbers_and_their_text(written, read):
    found = values.whole(0, 255)(written)
    assert found == read
    assert type(found) is int


def test_whole_keeps_every_digit_of_a_large_seed():
    """A float would lose the last digits."""
    assert values.whole(0, 2**63 - 1)(str(2**63 - 1)) == 2**63 - 1


@pytest.mark.parametrize("value", [v for v in HOSTILE if v is not None] + [-0.1, 1.1])
def test_number_refuses_what_is_not_finite_and_in_range(value):
    with pytest.raises(ValueError, match="must be a number from 0 to 1, not"):
        values.number(0, 1)(value)


@pytest.mark.parametrize(
    ("written", "read"), [("1024x576", Size(1024, 576)), ("1024 × 576", Size(1024, 576)), ((64, 64), Size(64, 64))]
)
def test_size_reads_text_and_pairs(written, read):
    assert values.size(64, 4096)(written) == read


@pytest.mark.parametrize(
    "value", ["1024", "1024x", "x576", "-64x64", "63x64", "4097x64", (64,), (64.5, 64), (True, 64), 64, "64x64x64"]
)
def test_size_refuses_other_forms_and_sides_out_of_range(value):
    with pytest.raises(ValueError, match="must be WIDTHxHEIGHT"):
        values.size(64, 4096)(value)


@pytest.mark.parametrize(
    ("written", "read"), [("1:3", Guidance(1, 3)), ("2.5", Guidance(2.5, 2.5)), (2, Guidance(2, 2)), ([1, 3], Guidance(1, 3))]
)
def test_guidance_reads_a_range_or_one_number(written, read):
    assert values.guidance(0, 20)(written) == read


@pytest.mark.parametrize("value", ["1:2:3", "a:b", "", "-1:3", "1:21", "nan:1", (1, 2, 3)])
def test_guidance_refuses_other_forms(value):
    with pytest.raises(ValueError, match="must be FIRST:LAST"):
        values.guidance(0, 20)(value)


@pytest.mark.parametrize(("written", "read"), [("left", Focus(0, 0.5)), ("0.25,1", Focus(0.25, 1)), ((0, 1), Focus(0, 1))])
def test_focus_reads_words_and_fractions(written, read):
    assert values.focus(written) == read


@pytest.mark.parametrize(
    "written",
    ["0.5,0.4>0.1,0", "0.5,0.4->0.1,0", "0.5,0.4→0.1,0", " 0.5 , 0.4 > 0.1 , 0 ;", Arrows((Arrow(0.5, 0.4, 0.1, 0),))],
)
def test_arrows_are_read_as_people_write_them(written):
    assert values.arrows(written) == Arrows((Arrow(0.5, 0.4, 0.1, 0),))


def test_several_arrows_are_written_as_they_are_read():
    written = "0.5,0.4>0.1,0;0,1>-0.25,-1"
    assert str(values.arrows(written)) == written


@pytest.mark.parametrize(
    "value",
    [
        "",
        ">",
        "0.5,0.5",
        "0.5>0.1,0",
        "1.1,0>0,0",
        "0,0>1.5,0",
        "a,b>c,d",
        "nan,0>0,0",
        5,
        None,
        ";".join(["0,0>0,0"] * 9),
        "0,0>0,0>1,1",
    ],
)
def test_arrows_that_start_outside_or_are_no_arrows_are_refused(value):
    with pytest.raises(ValueError, match="must be X,Y>DX,DY"):
        values.arrows(value)


@pytest.mark.parametrize("value", ["0.5", "1.1,0", "-0.1,0", "a,b", "nan,0", 0.5, "middle"])
def test_focus_refuses_points_outside_the_picture(value):
    with pytest.raises(ValueError, match="must be X,Y"):
        values.focus(value)


@pytest.mark.parametrize(
    ("written", "read"), [("5MB", 5_000_000), ("1 MiB", 2**20), ("20000", 20000), (20000, 20000), ("1.5kb", None)]
)
def test_byte_count_reads_units(written, read):
    reader = values.byte_count(10_000, 2**40)
    if read is None:
        with pytest.raises(ValueError, match="must be a size such as 5MB"):
            reader(written)
    else:
        assert reader(written) == read


@pytest.mark.parametrize("value", ["cuda:x", "gpu", "cuda:", "cpu:0", 0, "", None])
def test_device_refuses_what_torch_would_not_know(value):
    with pytest.raises(ValueError, match="must be auto, cpu, mps, cuda"):
        values.device(value)


def test_a_path_is_a_text():
    assert values.text(Path("models/svd")) == "models/svd"


def test_what_was_found_is_shown_short_and_without_control_characters():
    shown = values.show("\x1b[31m" + "a" * 5000)
    assert "\x1b" not in shown
    assert len(shown) <= 60


@given(st.text(max_size=50) | st.floats() | st.integers() | st.booleans() | st.none() | st.binary(max_size=5))
def test_no_reader_raises_anything_but_value_error(value):
    for reader in (
        values.whole(0, 9), values.number(0, 9), values.one_of("a"), values.flag, values.text, values.device, values.colour,
        values.byte_count(1, 9), values.size(1, 9), values.guidance(0, 9), values.focus,
    ):  # fmt: skip
        try:
            reader(value)
        except ValueError as error:
            assert str(error).startswith("must be ")


def test_a_choice_that_is_nearly_one_is_suggested():
    with pytest.raises(ValueError, match="did you mean ping-pong"):
        values.one_of("none", "ping-pong")("pingpong")
