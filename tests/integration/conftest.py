"""Processes to fork from, and servers that are forked: what the tests of faults share."""

import pytest

from forks import Forks
from served import Served


@pytest.fixture(scope="session")
def forks():
    with Forks() as found:
        yield found


@pytest.fixture
def serve(forks, tmp_path):
    """Serve a folder, as often as asked; at the end all of them leave."""
    served = []

    def start(*options: str, **more) -> Served:
        served.append(
            Served(forks, tmp_path / "data", *(["--keep-free", "0"] if "--keep-free" not in options else []), *options, **more)
        )
        return served[-1]

    yield start
    for server in served:
        server.stop()
