"""cli/models.py: what is said of models and of what fetching one brings."""

import json

import pytest

from unstill.catalog.inventory import ModelStatus
from unstill.catalog.known import CATALOG
from unstill.cli import main
from unstill.cli.models import describe_state

KNOWN = CATALOG["svd"]


def make_row(state, here_bytes=0, variants=(), known=KNOWN):
    return ModelStatus("svd", KNOWN.repository, KNOWN.about, state, here_bytes, variants=variants, known=known)


@pytest.mark.parametrize(
    ("row", "text"),
    [(make_row("absent"), "no (4.5 GB)"), (make_row("partial", 10**9), "in part, 1.0 GB of 4.5 GB"),
     (make_row("partial", 10**9, known=None), "in part, 1.0 GB"), (make_row("complete", 4_511_000_000, ("fp16",)), "fp16, 4.5 GB"),
     (make_row("complete", 13_500_000_000, ("fp16", "fp32")), "fp16 + fp32, 13.5 GB")],
)  # fmt: skip
def test_how_much_is_here_is_said_in_a_few_words(row, text):
    assert describe_state(row) == text


def test_every_known_model_is_listed(capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in out for name in CATALOG)
    assert "unstill pull MODEL" in out


def test_the_list_as_json_has_sizes_and_no_objects(capsys):
    assert main(["models", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    row = next(row for row in answer["models"] if row["name"] == "svd-xt-1.1")
    assert row["gated"] is True
    assert row["frames"] == 25
    assert row["download_bytes"]["fp16"] == pytest.approx(4.51e9, rel=1e-3)


def test_a_misspelt_model_is_not_asked_of_the_hub(capsys):
    assert main(["pull", "svd-xt-1.l"]) == 4
    assert "did you mean svd-xt-1.1?" in capsys.readouterr().err
