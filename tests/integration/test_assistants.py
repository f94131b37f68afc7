"""`unstill mcp` with the unmodified client of the protocol's own package, in front of a real server."""

import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from mcp import Client, StdioServerParameters, stdio_client

from server import HARBOUR, SMALL, Server
from unstill.formats.frames import read_frames

pytestmark = pytest.mark.slow
KNOBS = {name: value for name, value in SMALL.items() if not name.startswith("num_")} | {"frames": 2, "steps": 1}


@pytest.fixture(scope="module")
def server(forks, tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("serve"), key="secret", forks=forks)
    yield found
    found.stop()


def talk(server: Server, mode: str, act):
    """Run a conversation with a process of its own."""
    environment = {**os.environ, "UNSTILL_KEY": server.key}
    process = StdioServerParameters(command=sys.executable, args=["-m", "unstill", "mcp", "--url", server.url], env=environment)

    async def run():
        async with Client(stdio_client(process), mode=mode) as client:
            return await act(client)

    with ThreadPoolExecutor(1) as other:  # the browser's tests leave an event loop running in this thread
        return other.submit(asyncio.run, run()).result()


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
def test_a_clip_is_asked_for_looked_at_and_saved(server, mode, tmp_path):
    target = tmp_path / "clip.mp4"

    async def act(client):
        assert [tool.name for tool in (await client.list_tools()).tools] == ["create_clip", "get_clip"]
        created = await client.call_tool("create_clip", {"picture": str(HARBOUR), "title": "harbour", **KNOBS})
        assert created.structured_content["state"] in ("queued", "running")
        assert json.loads(created.content[0].text) == created.structured_content
        id, told = created.structured_content["id"], created.structured_content
        async with asyncio.timeout(240):
            while told["state"] in ("queued", "running"):
                await asyncio.sleep(0.1)
                told = (await client.call_tool("get_clip", {"id": id})).structured_content
        assert told["url"] == f"{server.url}/v1/videos/{id}/content"
        saved = await client.call_tool("get_clip", {"id": id, "save_to": str(target)})
        assert saved.structured_content["file"] == str(target)
        again = await client.call_tool("get_clip", {"id": id, "save_to": str(target)})
        assert again.is_error

    talk(server, mode, act)
    assert len(read_frames(target)[0]) == 2


def test_what_is_wrong_is_said_so_that_it_can_be_done_better(server, tmp_path):
    async def act(client):
        refused = await client.call_tool("create_clip", {"picture": str(HARBOUR), "motion": 999, "moton": 5})
        assert refused.is_error
        assert "did you mean motion?" in refused.content[0].text
        long = await client.call_tool(
            "create_clip", {"picture": str(HARBOUR), **KNOBS, "frames": 14, "steps": 200, "size": "128x128"}
        )
        id = long.structured_content["id"]
        early = await client.call_tool("get_clip", {"id": id, "save_to": str(tmp_path / "clip.mp4")})
        assert early.is_error
        assert "nothing is saved" in early.content[0].text

    talk(server, "auto", act)
    assert list(tmp_path.iterdir()) == []
