"""Every route, every field of a clip and every name of a knob has its place in /openapi.json."""

import json
from types import SimpleNamespace

import jsonschema
import pytest

from unstill.jobs.files import Folder
from unstill.jobs.records import Order
from unstill.jobs.store import Store
from unstill.request import ALIASES, KNOBS
from unstill.studio.app import make_app
from unstill.studio.openapi import ROUTES, VIDEO
from unstill.studio.orders import IGNORED, NOT_HERE, OWN
from unstill.studio.service import Service
from unstill.studio.shapes import show_video


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("described")).make()
    return make_app(Service(folder, Store(folder.store), planner=None)).app.openapi()


def test_every_route_says_what_it_takes_and_answers(described):
    assert {(method, path) for path, methods in described["paths"].items() for method in methods} == set(ROUTES)


def test_every_schema_that_is_pointed_to_is_there_and_no_other(described):
    text = json.dumps(described)
    named = described["components"]["schemas"]
    for schema in named.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert {name for name in named if f'"#/components/schemas/{name}"' in text} == set(named)
    assert text.count("#/components/schemas/") == sum(text.count(f'"#/components/schemas/{name}"') for name in named)


def test_every_name_that_is_taken_is_described(described):
    fields = described["components"]["schemas"]["Order"]["properties"]
    assert set(fields) == {*KNOBS, *ALIASES, *OWN, *IGNORED, "input_reference"} - set(NOT_HERE)
    assert (fields["motion_bucket_id"]["minimum"], fields["motion"]["maximum"], fields["look"]["type"]) == (0, 255, "boolean")
    assert "png" not in fields["format"]["enum"]


def test_a_clip_has_the_fields_that_are_said(tmp_path):
    folder = Folder(tmp_path).make()
    store = Store(folder.store)
    job = store.submit(Order({"model": "pocket"}, "0" * 64))
    store.close()
    assert set(show_video(job, SimpleNamespace(folder=folder, keep_s=None))) == set(VIDEO["properties"])
