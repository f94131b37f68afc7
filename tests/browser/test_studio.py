"""The page of `unstill serve` in a real Chromium, against a real server: what people do there, each with a reload on the way.

Nothing on the page is asked to hurry; every wait has minutes. What may not happen at all, in any test: a request to
another address, an error in the console.
"""

import base64
import contextlib
import json
import shutil
from pathlib import Path

import pytest

from server import HARBOUR, QUICK, Server, http, wait_for

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=120_000)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
EXAMPLES = HARBOUR.parent
SMALL = {"size": "64x64", "frames": 3, "steps": 2, "look": False, "measure": False}
LONG = {**QUICK, "num_frames": 25, "num_inference_steps": 200, "title": "long"}  # what others wait behind
KEPT = "unstill.studio"


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("page"))
    yield found
    found.stop()


@pytest.fixture(scope="module")
def picture(server) -> str:
    answer = http.post(f"{server.url}/v1/pictures", files={"picture": ("a.jpg", HARBOUR.read_bytes(), "image/jpeg")})
    return answer.json()["id"]


def ask(server, picture, **knobs) -> dict:
    """Ask for a clip past the page."""
    body = {**QUICK, **knobs, "input_reference": {"file_id": picture}}
    return http.post(f"{server.url}/v1/videos", json=body).json()


@pytest.fixture(scope="module")
def clip(server, picture) -> dict:
    """A finished clip with a report."""
    made = ask(server, picture, size="128x64", num_frames=5, measure=True, title="measured", camera="push")
    return wait_for(server, made["id"])


@contextlib.contextmanager
def open_page(browser, server, kept=None, allowed=(), **how):
    """A page in a browser profile of its own, that remembers what it is told; faults in it are faults of the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **how)
    context.set_default_timeout(120_000)
    told = json.dumps({"settings": SMALL, **(kept or {})})
    context.add_init_script(f"try {{ localStorage.getItem('{KEPT}') ?? localStorage.setItem('{KEPT}', '{told}') }} catch {{}}")
    page, faults = context.new_page(), []
    page.on("console", lambda said: said.type == "error" and faults.append(f"{said.text} {said.location['url']}"))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith((server.url, "data:", "blob:")) or faults.append(asked.url))
    page.on("dialog", lambda dialog: faults.append(f"a dialog of the browser: {dialog.message}"))
    yield page
    context.close()
    allowed = (*allowed, "/preview?")  # of a clip that was finished meanwhile
    assert [fault for fault in faults if not any(word in fault for word in allowed)] == []


@pytest.fixture
def page(browser, server):
    with open_page(browser, server) as found:
        yield found


@pytest.fixture
def refused(browser, server):
    """A page that is answered with what is wrong."""
    with open_page(browser, server, allowed=("status of 422",)) as found:
        yield found


@pytest.fixture
def long(server, picture):
    """A clip that keeps the worker busy until the test is over."""
    made = ask(server, picture, **LONG)
    wait_for(server, made["id"], "running")
    yield made
    http.post(f"{server.url}/v1/videos/{made['id']}/cancel")
    wait_for(server, made["id"])


def go(page, server, view=""):
    """Open a view, and wait until the page has found out what there is."""
    page.goto(f"{server.url}/{view}")
    ready(page)


def again(page):
    """Reload, as whoever closes the page and comes back."""
    page.reload()
    ready(page)


def ready(page):
    page.locator("#more-knobs").wait_for(state="attached")


def choose(page, *names):
    """Choose pictures as people do: by the button, in the dialog of the system."""
    button = page.locator("#choose:visible, #add:visible")
    with page.expect_file_chooser() as dialog:
        button.click()
    dialog.value.set_files([EXAMPLES / name for name in names])


def show_transfer(page, kind, name="harbour.jpg", data=None, mime="image/jpeg"):
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


def titles(page):
    return page.locator("#queue-list .job-name").all_inner_texts()


def knobs_of(server, id):
    return http.get(f"{server.url}/v1/videos/{id}").json()["knobs"]


def id_in(page):
    return page.url.rpartition("/")[2]


def test_choose_see_what_is_made_and_come_back(page, server):
    go(page, server)
    expect(page.get_by_role("heading", name="Give it a picture, and it moves.")).to_be_visible()
    choose(page, "harbour.jpg")
    expect(page.locator(".plan-what")).to_contain_text("64 × 64 · 3 frames")
    again(page)
    expect(page.locator(".thumb img")).to_have_count(1)
    expect(page.locator(".crop")).to_be_visible()
    expect(page.locator(".plan-what")).to_contain_text("64 × 64 · 3 frames")


def test_drop_and_what_is_no_picture_is_said_on_the_page(refused, server):
    page = refused
    go(page, server)
    show_transfer(page, "dragover")
    expect(page.locator("#drop")).to_be_visible()
    show_transfer(page, "drop")
    expect(page.locator(".thumb img")).to_have_count(1)
    show_transfer(page, "drop", "notes.txt", b"no picture", "text/plain")
    expect(page.locator("#picture-errors")).to_contain_text("notes.txt:")
    again(page)
    expect(page.locator(".thumb img")).to_have_count(1)


def test_paste_and_move_the_crop_with_mouse_and_keys(page, server):
    go(page, server)
    show_transfer(page, "paste")
    crop = page.locator(".crop.movable")
    expect(crop).to_have_attribute("aria-valuetext", "its middle is 50 % from the left and 50 % from the top")
    crop.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(crop).to_have_attribute("aria-valuenow", "40")
    box = page.locator(".print").bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"], steps=3)
    page.mouse.up()
    expect(crop).to_have_attribute("aria-valuenow", "72")  # as far as the picture goes: a square in 16:9
    again(page)
    expect(crop).to_have_attribute("aria-valuenow", "72")
    page.locator("#run").click()
    page.wait_for_url("**/#/clip/*")
    x, y = knobs_of(server, id_in(page))["focus"].split(",")
    assert (float(x), float(y)) == (pytest.approx(0.72, abs=0.005), 0.5)


def test_presets_knobs_and_problems_where_they_are(refused, server):
    page = refused
    go(page, server)
    choose(page, "harbour.jpg")
    expect(page.locator(".plan-what")).to_be_visible()
    page.get_by_role("radio", name="draft").check(force=True)
    page.get_by_label("Frames", exact=True).fill("1")
    expect(page.locator("#problem-frames")).to_contain_text("Frames must be a whole number from 2 to 128")
    expect(page.locator(".crop")).to_be_visible()
    again(page)
    expect(page.get_by_role("radio", name="draft")).to_be_checked()
    expect(page.locator("#problem-frames")).to_contain_text("from 2 to 128")
    page.get_by_label("Seconds").fill("1")
    expect(page.get_by_label("Frames", exact=True)).to_have_value("7")
    expect(page.locator(".plan-what")).to_contain_text("7 frames")
    page.locator("#die").click()
    expect(page.get_by_label("Seed", exact=True)).not_to_have_value("")
    page.get_by_role("button", name="Reset all").click()
    expect(page.get_by_role("radio", name="default")).to_be_checked()


def test_run_to_the_end_across_a_reload(page, server):
    go(page, server)
    choose(page, "harbour.jpg")
    page.locator("#run").click()
    page.wait_for_url("**/#/clip/*")
    again(page)
    expect(page.get_by_role("heading", name="harbour")).to_be_visible()
    expect(page.locator(".frame-number")).to_contain_text("/ 3")
    film = page.locator("video")
    assert film.evaluate("film => [film.videoWidth, film.videoHeight]") == [64, 64]


def test_previews_while_it_is_made_and_progress(page, server, long):
    go(page, server, f"#/clip/{long['id']}")
    preview = page.locator(".clip-stage img[src*='/preview?']")
    expect(preview).to_be_visible()
    again(page)
    expect(preview).to_be_visible()
    expect(page.locator("#now")).to_contain_text("Making")
    expect(page.get_by_role("progressbar")).to_be_visible()
    assert preview.evaluate("image => image.naturalWidth") > 0


def test_scrub_and_step_frame_by_frame(page, server, clip):
    go(page, server, f"#/clip/{clip['id']}")
    number = page.locator(".frame-number")
    expect(number).to_contain_text("/ 5")
    page.get_by_label("Frame", exact=True).fill("3")
    expect(number).to_have_text("3 / 5")
    page.keyboard.press(".")
    expect(number).to_have_text("4 / 5")
    page.get_by_role("button", name="One frame back").click()
    expect(number).to_have_text("3 / 5")
    assert page.locator("video").evaluate("film => film.paused && film.currentTime * 7") == pytest.approx(2.5, abs=0.01)
    again(page)
    expect(number).to_contain_text("/ 5")
    page.get_by_role("figure", name="Player").get_by_label("Speed").select_option("0.5")
    page.get_by_role("button", name="Loop").click()
    assert page.locator("video").evaluate("film => [film.playbackRate, film.loop]") == [0.5, False]
    again(page)
    expect(page.get_by_role("button", name="Loop")).to_have_attribute("aria-pressed", "false")


def test_compare_with_the_picture(page, server, clip):
    go(page, server, f"#/clip/{clip['id']}")
    expect(page.locator(".frame-number")).to_contain_text("/ 5")
    page.keyboard.press("c")
    wipe = page.get_by_label("Picture to the left, clip to the right")
    expect(wipe).to_be_focused()
    wipe.fill("80")
    canvas = page.locator("canvas.over")
    assert canvas.evaluate("canvas => canvas.style.clipPath").replace("0px", "0").startswith("inset(0 20%")
    painted = "canvas => canvas.getContext('2d').getImageData(64, 32, 1, 1).data[3]"
    with page.expect_response("**/v1/plan"):
        again(page)
        page.get_by_role("button", name="Compare with the picture").click()
    expect(canvas).to_be_visible()
    for _ in range(600):
        if canvas.evaluate(painted) == 255:
            break
        page.wait_for_timeout(100)
    assert canvas.evaluate(painted) == 255


def test_the_report_in_words_and_curves(page, server, clip):
    go(page, server, f"#/clip/{clip['id']}")
    expect(page.locator(".moves")).to_contain_text("px/frame")
    expect(page.locator(".chart polyline").first).to_be_visible()
    labels = page.locator(".chart").evaluate_all("charts => charts.map((chart) => chart.getAttribute('aria-label'))")
    assert [label.partition(" ")[0].rstrip(",:") for label in labels] == ["Motion", "Light", "Of"]
    report = http.get(f"{server.url}/v1/videos/{clip['id']}/report").json()
    expect(page.locator(".verdicts li")).to_have_count(len(report["verdicts"]))


def test_use_settings_again_and_go_on_from_the_last_frame(page, server, clip):
    go(page, server, f"#/clip/{clip['id']}")
    page.get_by_role("button", name="Use these settings again").click()
    expect(page.locator(".plan-what")).to_contain_text("128 × 64 · 5 frames")
    again(page)
    expect(page.get_by_label("Seed", exact=True)).to_have_value("1")
    expect(page.get_by_role("radio", name="push")).to_be_checked()
    expect(page.locator(".thumb img")).to_have_count(1)
    page.locator("#run").click()
    page.wait_for_url("**/#/clip/*")
    assert {**knobs_of(server, id_in(page))} == {**clip["knobs"], "focus": "0.5,0.5"}
    go(page, server, f"#/clip/{clip['id']}")
    page.get_by_role("button", name="Go on from the last frame").click()
    expect(page.locator(".thumb img")).to_have_attribute("alt", "measured, on")
    kept = json.loads(page.evaluate(f"localStorage.getItem('{KEPT}')"))
    assert kept["current"] != clip["picture"]
    assert (kept["pictures"][0]["width"], kept["pictures"][0]["height"]) == (128, 64)


def test_a_batch_is_a_clip_of_each_picture(page, server, long):
    go(page, server)
    choose(page, "harbour.jpg", "balloon.jpg", "lighthouse.jpg")
    expect(page.locator(".thumb img")).to_have_count(3)
    page.get_by_role("button", name="Make 3 clips").click()
    expect(page.locator("#queue-list .job")).to_have_count(4)
    again(page)
    expect(page.locator("#queue-list .job")).to_have_count(4)
    assert sorted(titles(page)[1:]) == ["balloon", "harbour", "lighthouse"]
    for name in titles(page)[1:]:
        page.get_by_role("button", name=f"Cancel {name}").click()
    expect(page.locator("#queue-list .job")).to_have_count(1)


def test_reorder_with_keys_and_by_dragging_then_cancel_and_try_again(page, server, picture, long):
    waiting = {name: ask(server, picture, title=name)["id"] for name in ("one", "two", "three")}
    go(page, server)
    jobs = page.locator("#queue-list .job")
    expect(jobs).to_have_count(4)
    page.get_by_role("button", name="three: earlier").focus()
    page.keyboard.press("Enter")
    expect(jobs.nth(2)).to_contain_text("three")
    again(page)
    expect(jobs.nth(2)).to_contain_text("three")
    grip, to = jobs.filter(has_text="two").locator("> .grip"), jobs.filter(has_text="one")
    grip.scroll_into_view_if_needed()
    start, end = grip.bounding_box(), to.bounding_box()
    page.mouse.move(start["x"] + 8, start["y"] + 20)
    page.mouse.down()
    page.mouse.move(start["x"] + 8, end["y"] + 4, steps=6)
    with page.expect_response("**/move"):
        page.mouse.up()
    queue = http.get(f"{server.url}/v1/queue").json()["data"]
    assert [video["title"] for video in queue] == ["long", "two", "one", "three"]
    page.get_by_role("button", name="Cancel two").click()
    ended = page.locator("#ended-list .job").filter(has_text="two")
    expect(ended).to_be_visible()
    again(page)
    ended.get_by_role("button", name="Try again").click()
    expect(jobs.filter(has_text="two")).to_contain_text("waits, number 3")
    for id in waiting.values():
        http.post(f"{server.url}/v1/videos/{id}/cancel")


def test_find_a_clip_fetch_it_and_delete_it(page, server, picture):
    made = ask(server, picture, title="a needle")
    wait_for(server, made["id"])
    go(page, server, "#/gallery")
    page.get_by_label("Search clips").fill("needle")
    cards = page.locator(".card")
    expect(cards).to_have_count(1)
    page.wait_for_url("**/#/gallery?q=needle")
    again(page)
    expect(cards).to_have_count(1)
    menu = page.get_by_role("button", name="What to do with a needle")
    menu.click()
    with page.expect_download() as download:
        page.get_by_role("link", name="MP4").click()
    assert Path(download.value.path()).read_bytes()[4:8] == b"ftyp"
    assert download.value.suggested_filename == f"{made['id']}.mp4"
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    menu.click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    expect(cards).to_have_count(1)
    menu.click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(cards).to_have_count(0)
    again(page)
    expect(page.get_by_role("heading", name="Nothing is called, or was made with, “needle”.")).to_be_visible()
    assert http.get(f"{server.url}/v1/videos/{made['id']}").status_code == 404


def test_the_main_path_by_keyboard_alone(page, server):
    page.on("filechooser", lambda dialog: dialog.set_files(EXAMPLES / "harbour.jpg"))
    go(page, server)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#choose")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".plan-what")).to_be_visible()
    for _ in range(60):
        page.keyboard.press("Tab")
        ring = page.evaluate(
            "getComputedStyle(document.activeElement.matches('[type=radio]') ? document.activeElement.nextSibling : document.activeElement).outlineStyle"
        )
        assert ring != "none", page.evaluate("document.activeElement.outerHTML")
        if page.evaluate("document.activeElement.id") == "run":
            break
    expect(page.locator("#run")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/clip/*")
    expect(page.locator(".frame-number")).to_contain_text("/ 3")
    expect(page.locator("#clip-title")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(".frame-number")).to_have_text("3 / 3")
    page.keyboard.press(",")
    expect(page.locator(".frame-number")).to_have_text("2 / 3")


def find_faults(page):
    """What axe finds that is serious: all of it in light, and in dark what colours can do."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = []
    for scheme, more in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for fault in axe.run(page, options={"resultTypes": ["violations"], **more}).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                found.append((scheme, fault["id"], [node["html"][:160] for node in fault["nodes"]]))
    return found


def test_nothing_serious_for_those_who_do_not_see_it_as_others_do(refused, server, picture, clip, long):
    page = refused
    ask(server, picture, title="waits")
    go(page, server)
    assert find_faults(page) == []
    choose(page, "harbour.jpg", "balloon.jpg")
    page.locator("summary", has_text="More settings").click()
    page.get_by_label("Frames", exact=True).fill("1")
    expect(page.locator("#problem-frames")).not_to_be_empty()
    assert find_faults(page) == []
    go(page, server, f"#/clip/{long['id']}")
    assert find_faults(page) == []
    go(page, server, f"#/clip/{clip['id']}")
    expect(page.locator(".chart").first).to_be_visible()
    page.get_by_role("button", name="Compare with the picture").click()
    assert find_faults(page) == []
    go(page, server, "#/gallery")
    page.get_by_role("button", name="What to do with measured").first.click()
    assert find_faults(page) == []
    page.get_by_role("button", name="Delete").click()
    assert find_faults(page) == []
    for video in http.get(f"{server.url}/v1/queue").json()["data"][1:]:
        http.post(f"{server.url}/v1/videos/{video['id']}/cancel")


def test_no_motion_for_those_who_asked_for_none_and_large_enough_to_touch(browser, server, clip):
    with open_page(browser, server, reduced_motion="reduce", has_touch=True) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        go(page, server, f"#/clip/{clip['id']}")
        expect(page.locator(".frame-number")).to_have_text("1 / 5")
        assert page.locator("video").evaluate("film => film.paused")
        assert find_small(page) == []
        go(page, server)
        choose(page, "harbour.jpg")
        expect(page.locator(".plan-what")).to_be_visible()
        page.locator("summary", has_text="More settings").click()
        assert find_small(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def find_small(page):
    """What can be pressed and is smaller than a finger."""
    return page.locator(
        "button:visible, select:visible, input:visible, summary:visible, a:visible:not(.job-name, .skip)"
    ).evaluate_all(
        "all => all.map((one) => [one.outerHTML.slice(0, 120), one.getBoundingClientRect()]).filter(([, box]) => box.height < 39.5 || box.width < 39.5).map(([text]) => text)"
    )


def test_without_events_it_asks_again_and_again(browser, server, picture):
    with open_page(browser, server, allowed=("ERR_FAILED",)) as page:
        page.route("**/v1/events*", lambda route: route.abort())
        go(page, server)
        made = ask(server, picture, title="polled")
        expect(page.locator(f"#lately-list a[href='#/clip/{made['id']}']")).to_be_visible()


def test_a_server_that_is_gone_is_said_and_what_was_asked_for_is_sent_once_when_it_is_back(browser, server):
    with open_page(browser, server, allowed=("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY")) as page:
        go(page, server)
        choose(page, "harbour.jpg")
        expect(page.locator(".plan-what")).to_be_visible()
        before = len(http.get(f"{server.url}/v1/videos?limit=100").json()["data"])
        server.kill()
        expect(page.locator("#gone")).to_be_visible()
        page.locator("#run").click()
        expect(page.locator("#make-errors")).to_contain_text("is kept")
        server.start()
        expect(page.locator("#gone")).to_be_hidden()
        page.wait_for_url("**/#/clip/*")
        http.post(f"{server.url}/v1/videos/{id_in(page)}/cancel")
        assert len(http.get(f"{server.url}/v1/videos?limit=100").json()["data"]) == before + 1


def test_a_key_is_asked_for_on_the_page(browser, tmp_path):
    server = Server(tmp_path, key="a long secret")
    try:
        with open_page(browser, server, allowed=("401", "422")) as page:
            page.goto(server.url)
            key = page.get_by_label("Key", exact=True)
            expect(key).to_be_focused()
            assert find_faults(page) == []
            key.fill("a guess")
            page.keyboard.press("Enter")
            expect(page.locator("#key-error")).to_contain_text("That is not the key")
            key.fill("a long secret")
            page.keyboard.press("Enter")
            expect(page.locator("#choose")).to_be_visible()
            again(page)
            expect(page.locator("#choose")).to_be_visible()
    finally:
        server.stop()
