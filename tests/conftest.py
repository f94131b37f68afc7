"""What tests share: this folder on the import path, and a miniature model that is written once."""

from pathlib import Path

import pytest

from miniature import make_miniature


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the diffusers layout with random weights; read it, never write to it."""
    return make_miniature(tmp_path_factory.mktemp("miniature"))
