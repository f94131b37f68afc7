"""The protocol of assistants, line by line; and what its tools refuse before any server is asked."""

import base64
import io
import json

import jsonschema
import pytest
from PIL import Image

from unstill.client import Client
from unstill.errors import PictureError, WriteError
from unstill.mcp import Assistant, check_target, find_picture, list_tools, serve


@pytest.fixture
def assistant():
    """One whose server is not there."""
    with Client("http://127.0.0.1:9", patience_s=0) as client:
        yield Assistant(client)


def ask(assistant: Assistant, method: str, params=None, id=1) -> dict:
    return json.loads(assistant.answer(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}})))


@pytest.mark.parametrize(
    ("asked", "given"), [("2024-11-05", "2024-11-05"), ("2025-11-25", "2025-11-25"), ("1999-01-01", "2025-11-25")]
)
def test_a_version_that_is_known_is_spoken_and_else_the_newest(assistant, asked, given):
    result = ask(assistant, "initialize", {"protocolVersion": asked})["result"]
    assert (result["protocolVersion"], result["serverInfo"]["name"], result["capabilities"]) == (
        given,
        "unstill",
        {"tools": {}},
    )


def test_without_a_handshake_every_request_names_its_version(assistant):
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    assert ask(assistant, "tools/list", {"_meta": meta})["result"]["resultType"] == "complete"
    assert "resultType" not in ask(assistant, "tools/list")["result"]
    error = ask(assistant, "server/discover", {"_meta": {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}})["error"]
    assert error["code"] == -32022
    assert "2026-07-28" in error["data"]["supported"]


@pytest.mark.parametrize(
    ("line", "code"),
    [("{", -32700), ("[" * 100_000, -32700), ("[]", -32600), ('{"id": 1}', -32600), ('{"id": 1, "method": 5}', -32600),
     ('{"id": 1, "method": "x", "params": [1]}', -32600), ('{"id": 1, "method": "x"}', -32601),
     ('{"id": 1, "method": "tools/call", "params": {"name": "rm"}}', -32602),
     ('{"id": 1, "method": "tools/call", "params": {"name": "get_clip", "arguments": [1]}}', -32602)],
)  # fmt: skip
def test_what_is_no_message_is_an_error_of_the_protocol(assistant, line, code):
    assert json.loads(assistant.answer(line))["error"]["code"] == code


def test_what_only_tells_something_is_not_answered(assistant):
    out = io.StringIO()
    lines = ['{"method": "notifications/initialized"}\n', "\n", '{"id": "a", "method": "ping"}\n']
    serve(assistant.client, io.StringIO("".join(lines)), out)
    assert json.loads(out.getvalue()) == {"jsonrpc": "2.0", "id": "a", "result": {}}


def test_the_tools_are_described_by_schemas():
    for tool in list_tools():
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
    create = list_tools()[0]["inputSchema"]["properties"]
    assert create["motion"]["maximum"] == 255
    assert "device" not in create


def test_an_error_of_a_tool_is_told_to_the_assistant(assistant):
    result = ask(assistant, "tools/call", {"name": "get_clip", "arguments": {"id": "video_1"}})["result"]
    assert result["isError"]
    assert "cannot be reached" in result["content"][0]["text"]
    assert ask(assistant, "tools/call", {"name": "get_clip"})["result"]["isError"]


def test_only_pictures_are_read_and_nothing_is_told_of_other_files(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    assert find_picture(str(tmp_path / "a.png")) == find_picture(url) == data
    (tmp_path / "secret.png").write_text("-----BEGIN")
    for given in (
        str(tmp_path / "secret.png"),
        str(tmp_path),
        "/dev/zero",
        "a.png",
        "",
        None,
        5,
        "/none\0",
        "data:text/plain,x",
    ):
        with pytest.raises(PictureError) as caught:
            find_picture(given)
        assert "BEGIN" not in str(caught.value)


def test_a_clip_is_saved_where_nothing_is_and_under_the_name_of_a_clip(tmp_path):
    (tmp_path / "old.mp4").touch()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nowhere")
    assert check_target(str(tmp_path / "new.MP4"))
    for name in ("old.mp4", "link.mp4", ".bashrc", "clip", "clip.txt"):
        with pytest.raises(WriteError):
            check_target(str(tmp_path / name))
