"""What `/openapi.json` says is what the server does: requests made of it, right and wrong, get answers that it declares.

More of them, by hand: UNSTILL_EXAMPLES=200 python -m pytest tests/integration/test_openapi.py
"""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from server import HARBOUR, Server, http, post, wait_for
from unstill.studio.openapi import ROUTES

pytestmark = pytest.mark.slow
EXAMPLES = int(os.environ.get("UNSTILL_EXAMPLES", "4"))
ENDLESS = {"/v1/events", "/v1/videos/{id}/events", "/v1/videos/sync"}  # these answer once something has happened
ASKING = {"/v1/pictures/{id}", "/v1/videos", "/v1/videos/{id}/content"}  # these have a query, besides those with a body
HELD = {"not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"}


@pytest.fixture(scope="module")
def server(forks, tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("serve"), "--queue", "3", forks=forks)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def known(server) -> dict[str, str]:
    """A finished clip and a kept picture, for requests that would else never find one."""
    id = post(server).json()["id"]
    assert wait_for(server, id)["state"] == "completed"
    picture = http.post(f"{server.url}/v1/pictures", files={"picture": HARBOUR.read_bytes()}).json()["id"]
    return {"videos": id, "pictures": picture}


@pytest.fixture(scope="module")
def schema(server):
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def held():
    load_all_checks()
    found = [check for check in CHECKS.get_all() if check.__name__ in HELD]
    assert len(found) == len(HELD)
    return found


def list_cases():
    """List routes with right and with wrong requests; what deletes comes last, what only takes an id cannot be wrong."""
    for (method, path), route in sorted(ROUTES.items(), key=lambda item: item[0][0] == "delete"):
        if path not in ENDLESS:
            yield method, path, GenerationMode.POSITIVE
        if path not in ENDLESS and ("requestBody" in route or path in ASKING):
            yield method, path, GenerationMode.NEGATIVE


@pytest.mark.parametrize(("method", "path", "mode"), list(list_cases()), ids=str)
def test_answers_are_those_that_are_declared(schema, known, held, method, path, mode):
    """Every other id is that of something."""

    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
              phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))  # fmt: skip
    def ask(case):
        if case.path_parameters and len(str(case.path_parameters.get("id"))) % 2:
            case.path_parameters["id"] = known[path.split("/")[2]]
        case.call_and_validate(checks=held, timeout=240)

    ask()
