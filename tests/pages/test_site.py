"""The site: it builds without a warning, needs nothing from elsewhere, and tells all commands and shapes."""

import html
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from advnets.cli import settings
from advnets.cli.arguments import option_names
from advnets.cli.main import COMMANDS
from pages.blocks import ROOT

pytestmark = [pytest.mark.docs, pytest.mark.filterwarnings("default")]
PARTS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


class Parts(HTMLParser):
    """Addresses of what a browser loads with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attributes if PARTS.get(tag) == name]


def parts(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".html":
        parser = Parts()
        parser.feed(text)
        yield from parser.found
    yield from re.findall(r"url\(\s*[\"']?([^)\"']+)", text)
    yield from re.findall(r"@import\s*[\"']([^\"']+)", text)


def test_nothing_is_loaded_from_elsewhere(site):
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 80
    for file in pages:
        for address in parts(file):
            assert not re.match(r"([a-z]+:)?//", address), f"{file.relative_to(site)} loads {address}"
            path = address.partition("#")[0].partition("?")[0]
            if not address.startswith(("data:", "#")) and file.name != "404.html":
                assert (file.parent / path).exists(), f"{file.relative_to(site)} lacks {address}"


def test_every_command_has_a_page_with_all_its_options(site):
    for name in COMMANDS:
        assert f'<h1 id="advnets-{name}">' in (site / f"reference/commands/{name}.html").read_text(encoding="utf-8")
    told = text_of(site / "reference/commands/train.html")
    missing = [
        name
        for name in option_names(settings.Arguments, settings._arguments(settings._WIDEST))
        if f"--{name}" not in told
    ]
    assert not missing


def test_shapes_are_told_as_they_are_written(site):
    told = text_of(site / "reference/python/nets.html")
    assert 'Float[Tensor, "batch latent"]' in told and 'Float[Tensor, "batch *shape"]' in told
    for page in (site / "reference" / "python").glob("*.html"):
        shapes = re.findall(r"\b(?:Float|Int|Bool|UInt8|Float64)\[Tensor,[^\]]*\]", text_of(page))
        assert all(re.fullmatch(r'\w+\[Tensor, "[^"]*"\]', shape) and " * " not in shape for shape in shapes)


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("link", ["other.md", "index.md#nowhere", "/index.md", "images/none.png"])
def test_a_broken_link_stops_the_build(link, tmp_path, caplog):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Page\n\n[text]({link})\n", encoding="utf-8")
    config = load_config(
        str(ROOT / "mkdocs.yml"),
        docs_dir=str(tmp_path / "docs"),
        site_dir=str(tmp_path / "site"),
        **{"strict": True, "hooks": [], "nav": None, "plugins": ["search"], "extra_css": []},
    )
    with caplog.at_level(logging.WARNING), pytest.raises(Abort):
        build(config)
