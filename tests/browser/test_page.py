"""`advnets export RUN --page`: it opens from a folder, computes the run's numbers, and does what a person asks."""

import asyncio
import json
import shutil

import numpy as np
import pytest
import torch

from advnets.cli.main import main
from advnets.errors import InputError
from advnets.export import files
from advnets.export import page as pages
from advnets.export.parts import load_part
from advnets.runs import Run
from advnets.sampling import load_sampler
from browser import chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.BINARY is None, reason="no Chromium on the path"),
]
SHORT = ["--steps", "60", "--generator.hidden", "32", "--discriminator.hidden", "16", "--json"]
PIXELS = (
    "(() => {{ const c = document.querySelector('{}'); "
    "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }})()"
)
TO_SEVEN = (
    "((one) => { one.value = '7'; one.dispatchEvent(new Event('change')); })(document.getElementById('class')); true"
)


@pytest.fixture(scope="module")
def runtime():
    try:
        return pages.fetched(None)
    except InputError as error:
        pytest.skip(str(error))


def page_of(folder, recipe, runtime):
    assert main(["train", recipe, *SHORT, "--out", str(folder / "run")]) == 0
    (folder / "page").mkdir()
    exported = load_part(Run(folder / "run"), "generator")
    pages.write(exported, files.onnx_bytes(exported), folder / "page", runtime)
    return folder / "run", folder / "page"


@pytest.fixture(scope="module")
def plain(tmp_path_factory, runtime):
    return page_of(tmp_path_factory.mktemp("plain"), "digits", runtime)


@pytest.fixture(scope="module")
def classes(tmp_path_factory, runtime):
    return page_of(tmp_path_factory.mktemp("classes"), "digits-conditional", runtime)


def visit(page, play):
    """Open a page in a browser that reaches no network, wait until it is ready, and play."""

    async def whole():
        async with chromium.opened(f"file://{page}/index.html") as tab:
            assert await tab.until("document.body && document.body.dataset.ready") == "yes"
            return await play(tab)

    return asyncio.run(whole())


async def pixels(tab, selector):
    """Grey values of a canvas."""
    return np.array(await tab.evaluate(PIXELS.format(selector)))[::4]


async def changed(tab, selector, before):
    for _ in range(100):
        now = await pixels(tab, selector)
        if not np.array_equal(now, before):
            return now
        await asyncio.sleep(0.05)
    raise AssertionError(f"{selector} did not change")


def test_numbers_are_those_of_the_run(plain):
    run, page = plain
    sampler = load_sampler(Run(run))

    async def play(tab):
        apart = float(await tab.evaluate("document.getElementById('check').dataset.apart"))
        z = np.random.default_rng(1).uniform(-1.7, 1.7, (3, 64)).astype(np.float32)
        made = await tab.evaluate(f"generate({json.dumps(z.tolist())}).then((rows) => rows.map((row) => [...row]))")
        return apart, z, np.array(made)

    apart, z, made = visit(page, play)
    own = sampler.from_latents(torch.from_numpy(z)).reshape(3, -1)
    assert apart < 1e-4 and np.abs(made - own).max() < 1e-4


def test_a_person_draws_chooses_walks_and_interpolates(plain, tmp_path):
    async def play(tab):
        first = await pixels(tab, "#samples button:nth-child(1) canvas")
        assert np.array_equal(await pixels(tab, "#walked"), first), "the first is chosen"
        await tab.click("#draw")
        other = await changed(tab, "#samples button:nth-child(1) canvas", first)
        assert await tab.evaluate("document.getElementById('seed').value") == "1"

        walked = await pixels(tab, "#walked")
        await tab.click("#samples button:nth-child(5)")
        walked = await changed(tab, "#walked", walked)
        fifth = await pixels(tab, "#samples button:nth-child(5) canvas")
        assert np.array_equal(walked, fifth)
        await tab.until("document.querySelectorAll('#line canvas').length == 8")
        await asyncio.sleep(0.5)
        ends = [await pixels(tab, f"#line canvas:nth-child({end})") for end in (1, 8)]
        assert np.array_equal(ends[0], other) and np.array_equal(ends[1], fifth), "from the one chosen before"
        assert await tab.evaluate("document.querySelector('#samples [aria-pressed=true]').ariaLabel") == "Sample 5"

        await tab.evaluate("document.querySelector('#sliders input').focus()")
        for _ in range(30):  # by the keyboard
            await tab.press("ArrowRight")
        assert float(await tab.evaluate("document.querySelector('#sliders input').value")) == pytest.approx(1.5)
        await changed(tab, "#walked", fifth)
        await tab.click("#back")
        for _ in range(50):
            if np.array_equal(await pixels(tab, "#walked"), fifth):
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("the sample did not come back")
        await tab.screenshot(tmp_path / "page.png")

    visit(plain[1], play)


def test_a_class_is_chosen(classes):
    async def play(tab):
        assert not await tab.evaluate("document.getElementById('class-control').hidden")
        zero = await pixels(tab, "#walked")
        await tab.evaluate(TO_SEVEN)
        return zero, await changed(tab, "#walked", zero)

    visit(classes[1], play)


@pytest.mark.parametrize(("width", "phone"), [(1200, False), (360, True)])
def test_it_fits_screens_and_everything_has_a_name(plain, width, phone):
    async def play(tab):
        await tab.resize(width, 800, phone=phone)
        fits = await tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth && window.innerWidth")
        nameless = await tab.evaluate(
            "[...document.querySelectorAll('button, input, select, canvas[role]')].filter((one) => !one.hidden && "
            "!(one.ariaLabel || one.textContent.trim() || (one.labels || []).length)).length"
        )
        return fits, nameless

    assert visit(plain[1], play) == (width, 0)


def test_other_numbers_are_told_in_the_page(plain, tmp_path):
    page = tmp_path / "page"
    shutil.copytree(plain[1], page)
    text = (page / "generator.js").read_text()
    content = json.loads(text.removeprefix("const GENERATOR = ").removesuffix(";\n"))
    content["check"]["x"][3][5] += 0.01
    (page / "generator.js").write_text(f"const GENERATOR = {json.dumps(content)};\n")

    async def play(tab):
        return await tab.evaluate(
            "[document.getElementById('check').textContent, document.getElementById('check').className]"
        )

    text, kind = visit(page, play)
    assert "computes other numbers than the run did: 1.0e-2 apart" in text and kind == "bad"
