"""Weights that nobody stated a digest of are recognised by their header and by samples of their bytes."""

import hashlib
import json
import os
import random
from pathlib import Path

import pytest

from unstill.catalog.fingerprint import PREFIX, SAMPLE_BYTES, SAMPLES, fingerprint
from unstill.errors import WeightsError

LARGE_BYTES = 3 * SAMPLES * SAMPLE_BYTES


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000, SAMPLE_BYTES, SAMPLE_BYTES + 1, SAMPLES * SAMPLE_BYTES])
@pytest.mark.slow
def test_files_of_up_to_a_mebibyte_are_covered_whole(tmp_path, size):
    """Whichever byte differs; 40 of them are tried."""
    content = random.Random(size).randbytes(size)
    first = fingerprint(write(tmp_path / "a", content))
    assert first == fingerprint(write(tmp_path / "b", content))
    for place in {place * max(size - 1, 0) // 39 for place in range(40)} if size else ():
        other = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        assert fingerprint(write(tmp_path / "c", other)) != first, place


def test_large_files_of_one_size_differ_where_training_changed_every_tensor(tmp_path):
    found = {fingerprint(write(tmp_path / "a", random.Random(seed).randbytes(LARGE_BYTES))) for seed in range(4)}
    assert len(found) == 4


def test_the_first_and_the_last_byte_count_and_so_does_the_size(tmp_path):
    zeros = bytearray(LARGE_BYTES)
    found = {fingerprint(write(tmp_path / "a", zeros)), fingerprint(write(tmp_path / "a", zeros + b"\0"))}
    for place in (0, -1):
        changed = bytearray(zeros)
        changed[place] = 1
        found.add(fingerprint(write(tmp_path / "a", changed)))
    assert len(found) == 4


def test_the_whole_header_counts(tmp_path):
    """It is longer than a sample, and the difference lies behind the first of them."""
    found = set()
    for name in ("unet.one", "unet.two"):
        header = json.dumps({"filler": "x" * (SAMPLE_BYTES + 1000), "name": name}).encode()
        content = len(header).to_bytes(8, "little") + header + bytes(LARGE_BYTES)
        found.add(fingerprint(write(tmp_path / "a", content)))
    assert len(found) == 2


def test_a_header_of_any_announced_length_is_bounded_by_the_file(tmp_path):
    assert fingerprint(write(tmp_path / "a", b"\xff" * 100)).startswith(PREFIX)


def test_it_is_not_taken_for_the_digest_of_the_file(tmp_path):
    found = fingerprint(write(tmp_path / "a", b"weights"))
    assert found.startswith("sampled-sha256:")
    assert found.removeprefix(PREFIX) != hashlib.sha256(b"weights").hexdigest()


def test_ten_gigabytes_are_not_read(tmp_path, monkeypatch):
    """Counted in bytes, as time would depend on the machine."""
    path, read = tmp_path / "large", []
    with path.open("wb") as file:
        file.truncate(10 << 30)  # a hole: it takes no room
    opened = Path.open

    def watched(self, *how, **more):
        file = opened(self, *how, **more)
        whole = file.read
        monkeypatch.setattr(file, "read", lambda count: read.append(count) or whole(count), raising=False)
        return file

    monkeypatch.setattr(Path, "open", watched)
    fingerprint(path)
    assert 0 < sum(read) <= SAMPLES * SAMPLE_BYTES + 8


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = write(tmp_path / "a.safetensors", b"x")
    path.chmod(0)
    with pytest.raises(WeightsError, match=r"a\.safetensors cannot be read"):
        fingerprint(path)


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"^a\.safetensors cannot be read: No such file"):
        fingerprint(tmp_path / "a.safetensors")
