"""The page in a real browser: pictures are chosen, settings are set, and clips are asked for, each with a reload on the way."""

import pytest

from page import EXAMPLES, again, choose, find_faults, go, open_page, show_transfer, start_site, wait_for_clip

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_choose_see_what_is_made_and_run_to_the_end_across_reloads(page, site):
    go(page, site)
    expect(page.get_by_role("heading", name="Give it a picture, and it moves.")).to_be_visible()
    choose(page, "harbour.jpg")
    expect(page.locator(".plan-what")).to_contain_text("64 × 64 · 3 frames")
    again(page)
    expect(page.locator(".thumb img")).to_have_count(1)
    expect(page.locator(".crop")).to_be_visible()
    expect(page.locator(".plan-what")).to_contain_text("64 × 64 · 3 frames")
    page.locator("#run").click()
    id = wait_for_clip(page)
    again(page)
    expect(page.get_by_role("heading", name="harbour")).to_be_visible()
    site.make(id)
    expect(page.locator(".frame-number")).to_contain_text("/ 3")
    film = page.locator("video")
    assert film.evaluate("film => [film.videoWidth, film.videoHeight]") == [64, 64]


def test_drop_and_what_is_no_picture_is_said_on_the_page(refused, site):
    page = refused
    go(page, site)
    show_transfer(page, "dragover")
    expect(page.locator("#drop")).to_be_visible()
    show_transfer(page, "drop")
    expect(page.locator(".thumb img")).to_have_count(1)
    show_transfer(page, "drop", "notes.txt", b"no picture", "text/plain")
    expect(page.locator("#picture-errors")).to_contain_text("notes.txt:")
    again(page)
    expect(page.locator(".thumb img")).to_have_count(1)


def test_paste_and_move_the_crop_with_mouse_and_keys(page, site):
    go(page, site)
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
    id = wait_for_clip(page)
    x, y = site.read(id)["knobs"]["focus"].split(",")
    assert (float(x), float(y)) == (pytest.approx(0.72, abs=0.005), 0.5)
    site.cancel(id)


def test_presets_knobs_and_problems_where_they_are(refused, site):
    page = refused
    go(page, site)
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


def test_the_main_path_by_keyboard_alone(page, site):
    page.once("filechooser", lambda dialog: dialog.set_files(EXAMPLES / "harbour.jpg"))  # now: later a key is quicker
    go(page, site)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#choose")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".plan-what")).to_be_visible()
    for _ in range(100):
        page.keyboard.press("Tab")
        ring = page.evaluate(
            "getComputedStyle(document.activeElement.matches('[type=radio]') ? document.activeElement.nextSibling : document.activeElement).outlineStyle"
        )
        assert ring != "none", page.evaluate("document.activeElement.outerHTML")
        if page.evaluate("document.activeElement.id") == "run":
            break
    expect(page.locator("#run")).to_be_focused()
    page.keyboard.press("Enter")
    site.make(wait_for_clip(page))
    expect(page.locator(".frame-number")).to_contain_text("/ 3")
    expect(page.locator("#clip-title")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(".frame-number")).to_have_text("3 / 3")
    page.keyboard.press(",")
    expect(page.locator(".frame-number")).to_have_text("2 / 3")


def test_what_is_asked_for_while_the_server_is_gone_is_sent_once_when_it_is_back(browser, site):
    with open_page(browser, site.url, allowed=("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY")) as page:
        go(page, site)
        choose(page, "harbour.jpg")
        expect(page.locator(".plan-what")).to_be_visible()
        before = len(site.store.list_jobs())
        site.kill()
        expect(page.locator("#gone")).to_be_visible()
        page.locator("#run").click()
        expect(page.locator("#make-errors")).to_contain_text("is kept")
        site.start()
        expect(page.locator("#gone")).to_be_hidden()
        site.cancel(wait_for_clip(page))
        assert len(site.store.list_jobs()) == before + 1


def test_a_key_is_asked_for_on_the_page(browser, forks, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSTILL_KEY", "a long secret")
    site = start_site(forks, tmp_path / "data")
    try:
        with open_page(browser, site.url, allowed=("401", "422")) as page:
            page.goto(site.url)
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
        site.stop()
