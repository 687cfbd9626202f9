"""`advnets lab` in Chromium: what a person clicks, drags, draws and reads, on a desk and on a phone."""

import asyncio
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from advnets.cli.main import main
from advnets.data import load
from advnets.lab import latent, widgets
from advnets.lab.latent import Walk
from advnets.runs import Run
from advnets.sampling import load_sampler
from browser import chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.BINARY is None, reason="no Chromium on the path"),
]
SHORT = ["--steps", "300", "--train.log_every", "20", "--json"]
SMALL = ["--generator.hidden", "32", "--discriminator.hidden", "16"]
TABS = ("Watch", "Explore", "Draw", "Game", "Compare")
NAMED = ("button", "checkbox", "combobox", "listbox", "radio", "slider", "spinbutton", "tab", "textbox")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start the lab over runs of three kinds, as a person does."""
    folder = tmp_path_factory.mktemp("lab")
    runs = {name: folder / "runs" / name for name in ("plain", "classes", "filling")}
    assert main(["train", "digits", *SHORT, *SMALL, "--out", str(runs["plain"])]) == 0
    assert main(["train", "digits-conditional", *SHORT, *SMALL, "--out", str(runs["classes"])]) == 0
    assert main(["train", "digits-completion", *SHORT, *SMALL, "--out", str(runs["filling"])]) == 0
    assert main(["encode", str(runs["plain"]), "--steps", "100", "--json"]) == 0
    words = [sys.executable, "-m", "advnets", "lab", *map(str, runs.values()), "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    text = ""
    while not text.endswith("}\n"):
        line = process.stdout.readline()
        assert line, "it ended"
        text += line
    yield SimpleNamespace(url=json.loads(text)["url"], **runs)
    process.terminate()
    process.wait(20)
    process.stdout.close()


def visit(lab, play, width=1280):
    async def session():
        async with chromium.opened("about:blank") as page:
            await page.call("Network.enable")
            await page.resize(width, 900, phone=width < 600)
            await page.call("Page.navigate", url=lab.url)
            await page.until("!!document.querySelector('#state .verdict')")
            await play(page)
            asked = [
                one["params"]["request"]["url"] for one in page.events if one["method"] == "Network.requestWillBeSent"
            ]
            assert asked and not [url for url in asked if not url.startswith((lab.url, "data:", "blob:"))]

    asyncio.run(session())


async def open_tab(page, title):
    found = f"[...document.querySelectorAll('button[role=tab]')].find((one) => one.textContent.trim() === '{title}')"
    await page.until(f"!!{found}")
    await page.evaluate(f"{found}.click()")


async def choose(page, name, selector="#run"):
    """Choose from a list by the keyboard, as a person does."""
    await page.click(f"{selector} input")
    options = "[...document.querySelectorAll('[role=option]')]"
    await page.until(f"{options}.length > 0")
    place = f"{options}.findIndex((one) => one.textContent.trim().endsWith({name!r}))"
    mouse = (
        f"(() => {{ const r = {options}[{place}].getBoundingClientRect(); return [r.x + 9, r.y + r.height / 2]; }})()"
    )
    x, y = await page.evaluate(mouse)
    for kind in ("mousePressed", "mouseReleased"):
        await page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


async def press_slider(page, elem_id, times, key="ArrowRight"):
    await page.evaluate(f"document.querySelector('#{elem_id} input[type=range]').focus()")
    for _ in range(times):
        await page.press(key)


async def source(page, selector):
    return await page.evaluate(f"document.querySelector({selector!r}).src")


async def changed(page, selector, before):
    return await page.until(f"((src) => src !== {before!r} && src)(document.querySelector({selector!r}).src)")


def test_a_run_is_watched_as_it_trains(lab):
    async def play(page):
        text = "document.querySelector('#state').textContent"
        await choose(page, "classes")
        await page.until(f"{text}.includes('classes: digits-conditional, seed 0, finished, step 300 of 300')")
        picture = await source(page, "#picture img")
        words = [sys.executable, "-m", "advnets", "train", "--resume", "--out", str(lab.classes), "--steps", "600"]
        training = await asyncio.create_subprocess_exec(*words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert await training.wait() == 0
        await page.until(f"{text}.includes('step 600 of 600')")
        await changed(page, "#picture img", picture)
        legend = await page.evaluate("document.querySelector('.legend').textContent")
        assert re.search(r"V\(D, G\) -\d", legend), legend
        assert await page.evaluate("document.querySelectorAll('.vega-embed canvas, .vega-embed svg').length >= 4")

    visit(lab, play)


def test_a_slider_walks_through_z_to_what_python_draws(lab):
    async def play(page):
        await open_tab(page, "Explore")
        await page.until("document.querySelectorAll('#samples button').length === 24")
        await page.until("document.querySelectorAll('#near figure').length === 3")
        before = await source(page, "#shown img")
        await press_slider(page, "direction-1", 12)
        await page.until("document.querySelector('#direction-1 input[type=number]').value === '1.2'")
        await changed(page, "#shown img", before)
        await asyncio.sleep(1)
        walk = Walk(load_sampler(Run(lab.plain)))
        at = latent.along(walk.latents(24, 0)[0], walk.directions(6), [1.2, 0.0, 0.0, 0.0, 0.0, 0.0])
        assert await source(page, "#shown img") == widgets.source(walk.samples(walk.support(at)[None], None)[0])
        await page.until("document.querySelectorAll('#near figure').length === 3")
        assert "held out from training" in await page.evaluate("document.querySelector('#near').textContent")

    visit(lab, play)


def test_samples_are_chosen_and_joined_by_a_line_and_a_plane(lab):
    async def play(page):
        await open_tab(page, "Explore")
        await page.until("document.querySelectorAll('#samples button').length === 24")
        await page.click("#samples button[data-index='5']")
        await page.until("document.querySelector('#samples button.marked')?.ariaLabel === 'Sample 2, chosen as B'")
        assert await source(page, "#shown img") == await source(page, "#samples button[data-index='5'] img")
        await open_tab(page, "Line")
        await page.until("document.querySelectorAll('#line img').length === 9")
        ends = [await source(page, f"#line img:{which}-child") for which in ("first", "last")]
        both = [await source(page, f"#samples button[data-index='{index}'] img") for index in (5, 1)]
        assert ends == both, "the line goes from A to B"
        await page.evaluate("document.querySelector('#share input[type=range]').value = 0.99")
        await press_slider(page, "share", 1)
        await page.until(f"document.querySelector('#shown img').src === {both[1]!r}")
        await open_tab(page, "Plane")
        await page.until("!!document.querySelector('#plane .dot')")
        await page.drag("#plane .pad", (0.2, 0.2), (0.4, 0.5), (0.5, 5 / 6))
        await page.until("document.querySelector('#towards-b input[type=number]').value === '0.5'")
        await page.until("document.querySelector('#towards-c input[type=number]').value === '1'")
        walk = Walk(load_sampler(Run(lab.plain)))
        z = walk.latents(24, 0)
        at = latent.plane(z[5], z[1], z[2], [(0.5, 1.0)])
        await page.until(
            f"document.querySelector('#shown img').src === {widgets.source(walk.samples(walk.support(at), None)[0])!r}"
        )

    visit(lab, play)


def test_a_class_is_chosen_and_other_samples_drawn(lab):
    async def play(page):
        await choose(page, "classes")
        await open_tab(page, "Explore")
        await page.until("document.querySelectorAll('#samples button').length === 24")
        await page.until("!!document.querySelector('#class input')")
        first = await source(page, "#samples img")
        await page.until(f"document.querySelector('#shown img').src === {first!r}")
        await choose(page, "7", "#class")
        walk = Walk(load_sampler(Run(lab.classes)), "7")
        expected = widgets.source(walk.samples(walk.latents(24, 0), walk.conditions(24, 0))[0])
        await page.until(f"document.querySelector('#samples img').src === {expected!r}")
        assert expected != first
        await page.click("#fresh")
        expected = widgets.source(walk.samples(walk.latents(24, 1), walk.conditions(24, 1))[0])
        await page.until(f"document.querySelector('#samples img').src === {expected!r}")

    visit(lab, play)


def test_a_hidden_part_is_filled_in_and_so_is_a_painted_one(lab):
    async def play(page):
        await choose(page, "filling")
        await open_tab(page, "Draw")
        await page.until("document.querySelector('#can').textContent.includes('can fill in')")
        await page.click("#fill")
        await page.until("document.querySelectorAll('#result figure').length === 11")
        x = load(Run(lab.filling).config().data).test.x[0]
        assert await source(page, "#result img") == widgets.source(x)
        known = await source(page, "#result figure:nth-child(2) img")
        await page.drag("#mask canvas", (0.1, 0.1), (0.9, 0.1))
        await page.until("document.querySelector('#hide input[value=\"what is painted\"]').checked")
        await page.click("#fill")
        await changed(page, "#result figure:nth-child(2) img", known)

    visit(lab, play)


def test_a_drawn_digit_is_encoded(lab):
    async def play(page):
        await open_tab(page, "Draw")
        await page.until("document.querySelector('#can').textContent.includes('can encode')")
        await page.click("#encode")
        await page.until("document.querySelector('#result').textContent.includes('Mean squared error')")
        await page.evaluate("document.querySelector('#origin input[value=\"my drawing\"]').click()")
        await page.until("!document.querySelector('#example img').getAttribute('src')")
        await page.click("#encode")
        await page.until("document.querySelector('#result').textContent.includes('nothing is drawn yet, allowed')")
        await page.drag("#example canvas", (0.5, 0.1), (0.5, 0.5), (0.5, 0.9))
        await asyncio.sleep(1)
        await page.click("#encode")
        await page.until("document.querySelectorAll('#result figure').length === 2")
        drawn = await page.evaluate(PIXELS)
        columns = np.array(drawn).reshape(8, 8).mean(0)
        assert columns[3:5].min() > 100 and columns[[0, 1, 6, 7]].max() == 0, "a stroke down the middle"

    visit(lab, play)


PIXELS = (
    "(() => { const img = document.querySelector('#result img'), c = document.createElement('canvas'); "
    "[c.width, c.height] = [img.naturalWidth, img.naturalHeight]; const pen = c.getContext('2d'); "
    "pen.drawImage(img, 0, 0); "
    "return [...pen.getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0); })()"
)


def test_the_game_is_played_paused_and_changed(lab):
    async def play(page):
        await open_tab(page, "Game")
        told = "document.querySelector('#told').textContent"
        await page.until(f"{told}.includes('Step 0: JSD')")
        await page.click("#one-step")
        await page.until(f"{told}.includes('Step 1: JSD')")
        await page.click("#play")
        await page.until(f"Number({told}.match(/Step (\\d+)/)[1]) > 20")
        await page.until("document.querySelector('#play').textContent.trim() === 'Pause'")
        await page.click("#play")
        await page.until("document.querySelector('#play').textContent.trim() === 'Play'")
        await asyncio.sleep(1.5)
        at = await page.evaluate(told)
        await asyncio.sleep(1.5)
        assert await page.evaluate(told) == at, "it rests"
        await choose(page, "plane: ring of eight", "#law")
        await page.until(f"{told}.includes('Step 0: JSD')")
        await page.click("#one-step")
        await page.until(f"{told}.includes('Step 1: JSD')")
        assert "JSD" in await page.evaluate("document.querySelector('#figure img').alt")

    visit(lab, play)


def test_runs_are_compared(lab):
    async def play(page):
        await open_tab(page, "Compare")
        await page.click("#compare")
        await page.until("document.querySelectorAll('#beside td img').length === 2")
        assert "condition.kind" in await page.evaluate("document.querySelector('#beside').textContent")
        assert "Not ranked" in await page.evaluate("document.querySelector('#ranking').textContent")

    visit(lab, play)


def test_everything_has_a_name_for_who_does_not_see_it(lab):
    async def play(page):
        await page.call("Accessibility.enable")
        for title in TABS:
            await open_tab(page, title)
            await asyncio.sleep(2)
            nodes = (await page.call("Accessibility.getFullAXTree"))["nodes"]
            shown = [node for node in nodes if not node["ignored"] and node["role"]["value"].lower() in NAMED]
            nameless = [
                (node["role"]["value"], node.get("properties"))
                for node in shown
                if not node.get("name", {}).get("value")
            ]
            assert len(shown) > 5 and not nameless, (title, nameless)
            assert not await page.evaluate(
                "document.querySelectorAll('img:not([alt]), canvas[role=img]:not([aria-label])').length"
            )

    visit(lab, play)


def test_nothing_is_wider_than_a_phone(lab, tmp_path):
    async def play(page):
        for title in TABS:
            of_title = f".find((one) => one.textContent.trim() === '{title}')"
            if await page.evaluate(f"![...document.querySelectorAll('button[role=tab]')]{of_title}"):
                await page.click(".overflow-menu button[aria-label='More tabs']")
                await page.evaluate(f"[...document.querySelectorAll('.overflow-dropdown button')]{of_title}.click()")
            else:
                await open_tab(page, title)
            await asyncio.sleep(1.5)
            if title == "Compare":
                await page.click("#compare")
                await page.until("document.querySelectorAll('#beside td img').length === 2")
            width, hidden = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            assert width <= hidden == 390, title
            await page.screenshot(tmp_path / f"{title}.png")

    visit(lab, play, width=390)
