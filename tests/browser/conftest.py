"""One Chromium for all tests of a process, and a process to fork servers and workers from."""

import os
import shutil
from collections.abc import Iterator

import pytest

from forks import Forks, Keeper
from page import EXAMPLES, WAIT_MS, Tab, start_site
from unstill.jobs.files import Folder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--autoplay-policy=no-user-gesture-required"]  # fmt: skip


@pytest.fixture(scope="session")
def forks(tmp_path_factory) -> Iterator[Forks]:
    """The process to fork from, which the processes of a test run share; forks have the miniature as svd."""
    base = tmp_path_factory.getbasetemp()
    with Keeper(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) as found:
        yield found


@pytest.fixture(scope="session")
def browser():
    """A browser without a window."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    sync_api.expect.set_options(timeout=WAIT_MS)
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def site(forks, tmp_path_factory):
    """A server; its jobs are made when a test says so."""
    found = start_site(forks, tmp_path_factory.mktemp("page") / "data")
    yield found
    found.stop()


@pytest.fixture(scope="session")
def picture(site) -> str:
    """A picture that it keeps."""
    return site.keep_picture()


@pytest.fixture(scope="session")
def clip(site, picture) -> dict:
    """A finished clip with a report."""
    knobs = {"model": "pocket", "size": "128x64", "num_frames": 5, "measure": True, "title": "measured", "camera": "push"}
    return site.make(site.ask_for(picture, **knobs)["id"])


@pytest.fixture(scope="session")
def tab(browser, site):
    """The page, opened once: a new profile and page take half a second."""
    found = Tab(browser, site.url)
    yield found
    found.context.close()


@pytest.fixture
def page(tab):
    """The page of somebody who is there for the first time, but for small settings."""
    tab.forget()
    yield tab.page
    tab.check()


@pytest.fixture
def refused(tab):
    """A page that is answered with what is wrong."""
    tab.forget()
    yield tab.page
    tab.check("status of 422")


@pytest.fixture
def long(site, picture):
    """A clip that is being made until the test is over, by nobody."""
    id = site.ask_for(picture, title="long")["id"]
    job = site.store.claim("w", lease_s=100_000)
    assert job.id == id
    Folder(site.folder).place_preview(id).write_bytes((EXAMPLES / "harbour.jpg").read_bytes())
    site.store.beat(job, "sample", 0.4, 100_000, preview=1)
    yield site.read(id)
    site.store.cancel(id)
    site.store.stop(job)
