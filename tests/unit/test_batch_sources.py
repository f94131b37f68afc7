"""batch/sources.py: pictures of folders, globs and manifests, one at a time; what is no row says why."""

import itertools
import json

import pytest

from unstill.batch.sources import LONGEST_LINE, read_rows
from unstill.errors import RequestError


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"picture")


def test_a_folder_gives_its_pictures_by_name_and_those_below(tmp_path):
    fill(tmp_path, "b.jpg", "a.PNG", "sub/c.webp", "notes.txt", ".hidden.png", ".cache/d.png")
    assert [row.name for row in read_rows([str(tmp_path)])] == ["a", "b", "sub/c"]


def test_a_folder_that_links_to_itself_ends(tmp_path):
    fill(tmp_path, "a.png")
    (tmp_path / "again").symlink_to(tmp_path)
    assert [row.name for row in read_rows([str(tmp_path)])] == ["a"]


def test_a_glob_gives_names_from_where_it_begins_to_vary(tmp_path):
    fill(tmp_path, "x/one.png", "x/y/two.png", "three.png", "x/four.txt")
    assert [row.name for row in read_rows([f"{tmp_path}/x/**/*"])] == ["one", "y/two"]


def test_a_picture_is_taken_as_it_is_given_even_with_signs_of_a_glob(tmp_path):
    fill(tmp_path, "a[1].png")
    assert [row.picture for row in read_rows([str(tmp_path / "a[1].png")])] == [str(tmp_path / "a[1].png")]


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(RequestError, match="There is no picture"):
        list(read_rows([str(tmp_path / "nothing.png")]))


def test_a_csv_gives_knobs_and_names_and_leaves_empty_cells_out(tmp_path):
    manifest = tmp_path / "shots.csv"
    manifest.write_text('\ufeffpicture,motion_bucket_id,name\nsub/a.png,60,calm\n"b,c.png",,\n\n', encoding="utf-8")
    first, second = read_rows([str(manifest)])
    assert (first.picture, first.name, dict(first.knobs)) == (str(tmp_path / "sub/a.png"), "calm", {"motion_bucket_id": "60"})
    assert (second.name, dict(second.knobs), second.where) == ("b,c", {}, f"{manifest}, line 3")


def test_a_csv_of_a_spreadsheet_that_has_commas_in_numbers_is_read(tmp_path):
    manifest = tmp_path / "shots.csv"
    manifest.write_text("picture;motion;name\na.png;60;one, two\n")
    [row] = read_rows([str(manifest)])
    assert (row.name, dict(row.knobs)) == ("one, two", {"motion": "60"})


def test_a_csv_without_pictures_says_what_it_has(tmp_path):
    (tmp_path / "shots.csv").write_text("image,motion\na.png,60\n")
    with pytest.raises(RequestError, match="no column `picture`, but 'image', 'motion'"):
        list(read_rows([str(tmp_path / "shots.csv")]))


def test_json_lines_give_values_as_they_are(tmp_path):
    manifest = tmp_path / "shots.jsonl"
    manifest.write_text('{"picture": "s3://shots/a.png", "seed": 7}\n\n{"picture": "/b.png", "name": "sub/b"}\n')
    first, second = read_rows([str(manifest)])
    assert (first.picture, first.name, first.knobs) == ("s3://shots/a.png", "a", {"seed": 7})
    assert (second.picture, second.name) == ("/b.png", "sub/b")


@pytest.mark.parametrize(
    ("line", "problem"),
    [("{", "is not JSON"), ("[1]", "an object"), ('{"picture": "a", "motion": {"a": 1}}', "plain values"), ("[" * 9000, "JSON"),
     ('{"motion": 1}', "names no picture"), ('{"picture": 7}', "names no picture"), ('{"picture": "a\\u0000"}', "no picture"),
     ('{"picture": "a", "name": true}', None), ('{"picture": "a", "name": 1.5}', "name must be a text")],
)  # fmt: skip
def test_a_line_that_is_no_row_says_why(tmp_path, line, problem):
    manifest = tmp_path / "shots.jsonl"
    manifest.write_text(line + "\n" + json.dumps({"picture": "good.png"}))
    first, second = read_rows([str(manifest)])
    assert problem is None or problem in first.problem
    assert second.problem == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "no column"), ("motion\n1\n", "no column"), ("picture,picture\na,b\n", "twice"), ('picture\n"a\n', "line"),
     ("picture\n" + "x" * (LONGEST_LINE + 9), "more than"), ("picture\nNUL\0\n", None)],
)  # fmt: skip
def test_a_csv_that_cannot_be_read_is_refused(tmp_path, text, message):
    manifest = tmp_path / "shots.csv"
    manifest.write_text(text)
    if message is None:
        assert all(row.problem for row in read_rows([str(manifest)]))
    else:
        with pytest.raises(RequestError, match=message):
            list(read_rows([str(manifest)]))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "shots.csv").write_bytes(b"picture\n\xff\xfe\n")
    with pytest.raises(RequestError, match="UTF-8"):
        list(read_rows([str(tmp_path / "shots.csv")]))


def test_a_row_with_too_many_cells_is_told(tmp_path):
    (tmp_path / "shots.csv").write_text("picture,motion\na.png,1,2\n")
    [row] = read_rows([str(tmp_path / "shots.csv")])
    assert "3 cells for 2 columns" in row.problem


def test_a_manifest_is_read_as_it_is_asked_for(tmp_path):
    """Its end is never reached: a name that is no text there goes unseen."""
    manifest = tmp_path / "shots.csv"
    manifest.write_bytes(b"picture\n" + b"a.png\n" * 100_000 + b"\xff\n")
    assert len(list(itertools.islice(read_rows([str(manifest)]), 5))) == 5
