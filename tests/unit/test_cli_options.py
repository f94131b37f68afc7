"""cli/options.py: every knob is an option, described by what the request says of it."""

import click
import pytest
from click.testing import CliRunner

from unstill.cli.options import complete_model, describe, describe_default, name_option, with_knobs, with_overrides
from unstill.request import ALIASES, DEFAULTS, KNOBS


@click.command()
@with_knobs
def show(knobs):
    click.echo(repr(knobs))


def test_every_knob_is_a_shown_option_under_the_heading_of_its_group():
    options = {option.name: option for option in show.params}
    for name, knob in KNOBS.items():
        assert options[name].opts == [name_option(name)]
        assert options[name].group == knob.group.capitalize()
        assert not options[name].hidden


def test_names_of_other_tools_are_hidden_options():
    options = {option.name: option for option in show.params}
    assert all(options[alias].hidden and options[alias].opts == [name_option(alias)] for alias in ALIASES)


def test_only_what_was_given_arrives_and_as_text():
    ran = CliRunner().invoke(show, ["--motion", "300", "--ping-pong", "--no-recipe", "--num-frames=14"])
    assert ran.output == "{'motion': '300', 'recipe': False, 'num_frames': '14', 'ping_pong': True}\n"


def test_nothing_given_gives_nothing():
    assert CliRunner().invoke(show, []).output == "{}\n"


def test_the_help_of_a_knob_is_its_sentence_its_range_and_its_default():
    assert describe("motion", KNOBS["motion"]) == f"{KNOBS['motion'].help}\n0–255 [default: 127; pocket: 80]"
    assert describe("offload", KNOBS["offload"]).endswith("\n[default: off]")


@pytest.mark.parametrize(
    ("name", "text"),
    [("motion", "127; pocket: 80"), ("steps", "25; stability: 25 or 30; draft: 12; pocket: 8"), ("frames", "as the model was trained; draft: 14"),
     ("seed", ""), ("quality", "80"), ("focus", "0.5,0.5"), ("fps", "7")],
)  # fmt: skip
def test_a_default_says_which_preset_differs(name, text):
    assert describe_default(name) == text


def test_every_default_that_is_a_value_is_described():
    assert all(describe_default(name) for name, value in DEFAULTS.items() if value is not None)


def test_overrides_name_no_default():
    @click.command()
    @with_overrides
    def repeat(knobs):
        pass

    assert not any("default:" in (option.help or "") for option in repeat.params)


@pytest.mark.parametrize(("typed", "offered"), [("svd-xt", ["svd-xt", "svd-xt-1.1"]), ("./a", ["./a"])])
def test_models_are_completed_by_name_or_else_as_paths(typed, offered):
    items = complete_model(None, None, typed)
    assert [item.value for item in items] == offered
    assert items[0].type == ("file" if typed.startswith(".") else "plain")
