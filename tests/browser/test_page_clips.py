"""The page in a real browser: the clip, its frames and its report, the queue, the gallery, and those who see it otherwise."""

import json
from pathlib import Path

import pytest

from page import KEPT, again, choose, find_faults, find_small, go, open_page, wait_for_clip

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def titles(page):
    return page.locator("#queue-list .job-name").all_inner_texts()


def test_previews_while_it_is_made_and_progress(page, site, long):
    go(page, site, f"#/clip/{long['id']}")
    preview = page.locator(".clip-stage img[src*='/preview?']")
    expect(preview).to_be_visible()
    again(page)
    expect(preview).to_be_visible()
    expect(page.locator("#now")).to_contain_text("Making")
    expect(page.get_by_role("progressbar")).to_be_visible()
    assert preview.evaluate("image => image.naturalWidth") > 0


def test_scrub_and_step_frame_by_frame(page, site, clip):
    go(page, site, f"#/clip/{clip['id']}")
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


def test_compare_with_the_picture(page, site, clip):
    go(page, site, f"#/clip/{clip['id']}")
    expect(page.locator(".frame-number")).to_contain_text("/ 5")
    page.keyboard.press("c")
    wipe = page.get_by_label("Picture to the left, clip to the right")
    expect(wipe).to_be_focused()
    wipe.fill("80")
    canvas = page.locator("canvas.over")
    assert canvas.evaluate("canvas => canvas.style.clipPath").replace("0px", "0").startswith("inset(0 20%")
    with page.expect_response("**/v1/plan"):
        again(page)
        page.get_by_role("button", name="Compare with the picture").click()
    expect(canvas).to_be_visible()
    page.wait_for_function("document.querySelector('canvas.over').getContext('2d').getImageData(64, 32, 1, 1).data[3] === 255")


def test_the_report_in_words_and_curves(page, site, clip):
    go(page, site, f"#/clip/{clip['id']}")
    expect(page.locator(".moves")).to_contain_text("px/frame")
    expect(page.locator(".chart polyline").first).to_be_visible()
    labels = page.locator(".chart").evaluate_all("charts => charts.map((chart) => chart.getAttribute('aria-label'))")
    assert [label.partition(" ")[0].rstrip(",:") for label in labels] == ["Motion", "Light", "Of"]
    report = site.http.get(f"/v1/videos/{clip['id']}/report").json()
    expect(page.locator(".verdicts li")).to_have_count(len(report["verdicts"]))


def test_use_settings_again_and_go_on_from_the_last_frame(page, site, clip):
    go(page, site, f"#/clip/{clip['id']}")
    page.get_by_role("button", name="Use these settings again").click()
    expect(page.locator(".plan-what")).to_contain_text("128 × 64 · 5 frames")
    again(page)
    expect(page.get_by_label("Seed", exact=True)).to_have_value("1")
    expect(page.get_by_role("radio", name="push")).to_be_checked()
    expect(page.locator(".thumb img")).to_have_count(1)
    page.locator("#run").click()
    id = wait_for_clip(page)
    assert site.read(id)["knobs"] == {**clip["knobs"], "focus": "0.5,0.5"}
    site.cancel(id)
    go(page, site, f"#/clip/{clip['id']}")
    page.get_by_role("button", name="Go on from the last frame").click()
    expect(page.locator(".thumb img")).to_have_attribute("alt", "measured, on")
    kept = json.loads(page.evaluate(f"localStorage.getItem('{KEPT}')"))
    assert kept["current"] != clip["picture"]
    assert (kept["pictures"][0]["width"], kept["pictures"][0]["height"]) == (128, 64)


def test_a_batch_is_a_clip_of_each_picture(page, site, long):
    go(page, site)
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


def test_reorder_with_keys_and_by_dragging_then_cancel_and_try_again(page, site, picture, long):
    waiting = {name: site.ask_for(picture, title=name)["id"] for name in ("one", "two", "three")}
    go(page, site)
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
    assert [video["title"] for video in site.http.get("/v1/queue").json()["data"]] == ["long", "two", "one", "three"]
    page.get_by_role("button", name="Cancel two").click()
    ended = page.locator("#ended-list .job").filter(has_text="two")
    expect(ended).to_be_visible()
    again(page)
    ended.get_by_role("button", name="Try again").click()
    expect(jobs.filter(has_text="two")).to_contain_text("waits, number 3")
    site.cancel(*waiting.values())


def test_find_a_clip_fetch_it_and_delete_it(page, site, picture):
    made = site.make(site.ask_for(picture, title="a needle")["id"])
    go(page, site, "#/gallery")
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
    assert site.http.get(f"/v1/videos/{made['id']}").status_code == 404


def test_without_events_it_asks_again_and_again(browser, site, picture):
    with open_page(browser, site.url, allowed=("ERR_FAILED",)) as page:
        page.route("**/v1/events*", lambda route: route.abort())
        go(page, site)
        id = site.make(site.ask_for(picture, title="polled")["id"])["id"]
        expect(page.locator(f"#lately-list a[href='#/clip/{id}']")).to_be_visible()


def test_nothing_serious_for_those_who_do_not_see_it_as_others_do(refused, site, picture, clip, long):
    page, waiting = refused, site.ask_for(picture, title="waits")["id"]
    go(page, site)
    assert find_faults(page) == []
    choose(page, "harbour.jpg", "balloon.jpg")
    page.locator("summary", has_text="More settings").click()
    page.get_by_label("Frames", exact=True).fill("1")
    expect(page.locator("#problem-frames")).not_to_be_empty()
    assert find_faults(page) == []
    go(page, site, f"#/clip/{long['id']}")
    assert find_faults(page) == []
    go(page, site, f"#/clip/{clip['id']}")
    expect(page.locator(".chart").first).to_be_visible()
    page.get_by_role("button", name="Compare with the picture").click()
    assert find_faults(page) == []
    go(page, site, "#/gallery")
    page.get_by_role("button", name="What to do with measured").first.click()
    assert find_faults(page) == []
    page.get_by_role("button", name="Delete").click()
    assert find_faults(page) == []
    site.cancel(waiting)


def test_no_motion_for_those_who_asked_for_none_and_large_enough_to_touch(browser, site, clip):
    with open_page(browser, site.url, reduced_motion="reduce", has_touch=True) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        go(page, site, f"#/clip/{clip['id']}")
        expect(page.locator(".frame-number")).to_have_text("1 / 5")
        assert page.locator("video").evaluate("film => film.paused")
        assert find_small(page) == []
        go(page, site)
        choose(page, "harbour.jpg")
        expect(page.locator(".plan-what")).to_be_visible()
        page.locator("summary", has_text="More settings").click()
        assert find_small(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
