"""The page of `unstill serve` in a browser: opened with settings, watched for faults, and driven as people drive it.

Nothing on it is asked to hurry; every wait has minutes. What may not happen at all, in any test: a request to another
address, an error in the console.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from forks import Forks
from served import Served
from server import HARBOUR, SMALL

EXAMPLES = HARBOUR.parent
WAIT_MS = 240_000
KEPT = "unstill.studio"
SETTINGS = {"model": "svd", "size": "64x64", "frames": 3, "steps": 2, "look": False, "measure": False}


class Site(Served):
    """A server whose jobs are made when a test says so."""

    @property
    def url(self) -> str:
        """Its address."""
        return str(self.http.base_url)

    def ask_for(self, picture: str, **knobs: Any) -> dict:
        """Ask for a clip past the page."""
        return self.http.post("/v1/videos", json={**SMALL, **knobs, "input_reference": {"file_id": picture}}).json()

    def read(self, id: str) -> dict:
        """Return what is known of a clip."""
        return self.http.get(f"/v1/videos/{id}").json()

    def cancel(self, *ids: str) -> None:
        """Cancel clips."""
        for id in ids:
            self.http.post(f"/v1/videos/{id}/cancel")

    def make(self, id: str) -> dict:
        """Have a worker make the next clip, which must be this one."""
        assert self.forks.work(self.folder).wait() == 0
        found = self.read(id)
        assert found["state"] == "completed", found
        return found

    def keep_picture(self) -> str:
        """Upload the harbour, and return its name."""
        answer = self.http.post("/v1/pictures", files={"picture": ("a.jpg", HARBOUR.read_bytes(), "image/jpeg")})
        return answer.json()["id"]


def start_site(forks: Forks, folder: Any) -> Site:
    """Serve a folder."""
    return Site(forks, folder, "--keep-free", "0")


class Tab:
    """A page in a browser profile of its own, that remembers small settings, and what went wrong on it."""

    def __init__(self, browser: Any, url: str, **how: Any) -> None:
        self.url, self.faults = url, list[str]()
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **how)
        self.context.set_default_timeout(WAIT_MS)
        told = json.dumps({"settings": SETTINGS})
        remember = f"localStorage.getItem('{KEPT}') ?? localStorage.setItem('{KEPT}', '{told}')"
        self.context.add_init_script(f"try {{ {remember} }} catch {{}}")  # an empty page has no storage
        self.page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._look)
        self.page.on("dialog", lambda dialog: self.faults.append(f"a dialog of the browser: {dialog.message}"))

    def _hear(self, said: Any) -> None:
        if said.type == "error":
            self.faults.append(f"{said.text} {said.location['url']}")

    def _look(self, asked: Any) -> None:
        if not asked.url.startswith((self.url, "data:", "blob:")):
            self.faults.append(asked.url)

    def forget(self) -> None:
        """Leave the page, and all that it remembers and that went wrong."""
        if self.page.url.startswith(self.url):
            self.page.evaluate("localStorage.clear()")
        self.page.goto("about:blank")
        self.faults.clear()

    def check(self, *allowed: str) -> None:
        """Fail for what went wrong, unless it has one of these words in it."""
        allowed = (*allowed, "/preview?")  # of a clip that was finished meanwhile
        assert [fault for fault in self.faults if not any(word in fault for word in allowed)] == []


@contextlib.contextmanager
def open_page(browser: Any, url: str, allowed: tuple[str, ...] = (), **how: Any) -> Iterator[Any]:
    """Open a page in a profile of its own; what goes wrong on it fails the test."""
    tab = Tab(browser, url, **how)
    yield tab.page
    tab.context.close()
    tab.check(*allowed)


def go(page: Any, site: Site, view: str = "") -> None:
    """Open a view, and wait until the page has found out what there is."""
    page.goto(f"{site.url}/{view}")
    ready(page)


def again(page: Any) -> None:
    """Reload, as whoever closes the page and comes back."""
    page.reload()
    ready(page)


def ready(page: Any) -> None:
    """Wait until the page has found out what there is."""
    page.locator("#more-knobs").wait_for(state="attached")


def choose(page: Any, *names: str) -> None:
    """Choose pictures as people do: by the button, in the dialog of the system."""
    button = page.locator("#choose:visible, #add:visible")
    with page.expect_file_chooser() as dialog:
        button.click()
    dialog.value.set_files([EXAMPLES / name for name in names])


def show_transfer(page: Any, kind: str, name: str = "harbour.jpg", data: bytes | None = None, mime: str = "image/jpeg") -> None:
    """Drop or paste a file."""
    text = base64.b64encode((EXAMPLES / name).read_bytes() if data is None else data).decode()
    page.evaluate(
        """([kind, name, mime, text]) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, {type: mime}));
          const given = kind === "paste" ? {clipboardData: transfer} : {dataTransfer: transfer};
          const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
          document.body.dispatchEvent(new Kind(kind, {...given, bubbles: true, cancelable: true}));
        }""",
        [kind, name, mime, text],
    )


def id_in(page: Any) -> str:
    """Return the clip whose view is open."""
    return page.url.rpartition("/")[2]


def wait_for_clip(page: Any) -> str:
    """Wait until the view of a new clip is open, and return the clip."""
    page.wait_for_url("**/#/clip/*")
    return id_in(page)


def find_faults(page: Any) -> list[list[str]]:
    """Return what axe finds that is serious: all of it in light, and in dark what colours can do."""
    from axe_playwright_python.base import AXE_SCRIPT

    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE_SCRIPT)
    found = []
    for scheme, more in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found += page.evaluate(
            """async (options) => (await axe.run(document, options)).violations
                 .filter(({impact}) => impact === "serious" || impact === "critical")
                 .map(({id, nodes}) => [id, ...nodes.map(({html}) => html.slice(0, 160))])""",
            {"resultTypes": ["violations"], **more},
        )
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    return found


def find_small(page: Any) -> list[str]:
    """Return what can be pressed and is smaller than a finger."""
    return page.locator(
        "button:visible, select:visible, input:visible, summary:visible, a:visible:not(.job-name, .skip)"
    ).evaluate_all(
        """all => all.map((one) => [one.outerHTML.slice(0, 120), one.getBoundingClientRect()])
                     .filter(([, box]) => box.height < 39.5 || box.width < 39.5).map(([text]) => text)"""
    )
