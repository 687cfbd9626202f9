"""A headless Chromium, driven by its DevTools protocol: open a page, evaluate, click, look."""

import asyncio
import base64
import contextlib
import itertools
import shutil
import subprocess
import tempfile
from pathlib import Path

import aiohttp

BINARY = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.numbers = itertools.count(1)
        self.events = []
        """What the browser told of its own accord."""

    async def call(self, method: str, **parameters):
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self.socket.receive_json(timeout=60)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    async def evaluate(self, expression: str):
        found = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression: str, seconds: float = 60):
        for _ in range(int(seconds / 0.1)):
            if value := await self.evaluate(expression):
                return value
            await asyncio.sleep(0.1)
        raise AssertionError(f"{expression} did not come true")

    async def click(self, selector: str) -> None:
        """Click in the middle of an element, as a mouse does."""
        await self.drag(selector, (0.5, 0.5))

    async def drag(self, selector: str, *places: tuple[float, float]) -> None:
        """Press at the first place of an element, shares of its width and height, move over the rest, and let go."""
        where = f"document.querySelector({selector!r})"
        await self.evaluate(f"{where}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = "const r = one.getBoundingClientRect(); return [r.x, r.y, r.width, r.height];"
        left, top, width, height = await self.evaluate(f"((one) => {{ {box} }})({where})")
        points = [(left + u * width, top + v * height) for u, v in places]
        kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode={"ArrowDown": 40, "ArrowRight": 39, "Tab": 9, "Enter": 13}[key],
            )

    async def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    async def screenshot(self, file: Path) -> None:
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))


@contextlib.asynccontextmanager
async def opened(address: str):
    """Open a page in a browser of its own, without a network."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [BINARY, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        words += [f"--user-data-dir={profile}", "--proxy-server=127.0.0.1:9", "about:blank"]
        browser = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = Path(profile) / "DevToolsActivePort"
            for _ in range(300):
                if port.exists() and port.read_text().strip():
                    break
                await asyncio.sleep(0.1)
            where = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"
            async with aiohttp.ClientSession() as client:
                async with client.get(f"{where}/json/list") as answer:
                    tab = next(one for one in await answer.json() if one["type"] == "page")
                async with client.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    await page.call("Page.enable")
                    await page.call("Page.navigate", url=address)
                    yield page
        finally:
            browser.terminate()
            browser.wait(10)
