"""The names that `unstill` offers are what they are said to be, whatever was imported before."""

import subprocess
import sys

import pytest

import unstill

KINDS = {"animate": "function", "UnstillError": "type"}


@pytest.mark.slow
@pytest.mark.parametrize("before", ["pass", "import unstill.generate, unstill.request"])
def test_a_public_name_is_never_a_module(before):
    """A submodule of the same name would take its place once it is imported."""
    code = f"{before}\nimport unstill\nfor name in unstill.__all__: print(name, type(getattr(unstill, name)).__name__)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert dict(line.split() for line in printed.splitlines()) == {name: KINDS.get(name, "type") for name in unstill.__all__}


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'animat'"):
        unstill.animat  # noqa: B018
