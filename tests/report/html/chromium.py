"""A headless Chromium, told what to do over two pipes: the DevTools protocol without a socket or a library."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
]
# The browser reads its orders at descriptor 3 and answers at 4.
LAUNCH = """
import fcntl, os, sys
orders, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(orders, 3)
os.dup2(answers, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
SECONDS = 60.0  # after which a browser that says nothing is taken for dead
CONSOLE_EVENTS = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


def program() -> str:
    """Return the browser; skip the test where there is none (`.ci/run` installs it)."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed")
    return found


class Tab:
    """One page in the browser."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders, self._answers = orders, answers
        self._held, self._count = b"", 0
        self._session: str | None = None
        self.messages: list[str] = []  # what the console, exceptions and the browser's own warnings said
        self._requests: dict[str, str] = {}  # addresses by request, less those that a policy stopped
        self._loaded = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _receive(self) -> Any:
        end = time.monotonic() + SECONDS
        while b"\0" not in self._held:
            assert select.select([self._answers], [], [], max(0.0, end - time.monotonic()))[0], "Chromium says nothing"
            got = os.read(self._answers, 1 << 20)
            assert got, "Chromium has ended"
            self._held += got
        message, _, self._held = self._held.partition(b"\0")
        content = json.loads(message)
        method = content.get("method")
        if method in CONSOLE_EVENTS:
            self.messages.append(json.dumps(content["params"]))
        elif method == "Network.requestWillBeSent":
            self._requests[content["params"]["requestId"]] = content["params"]["request"]["url"]
        elif method == "Network.loadingFailed" and content["params"].get("blockedReason") == "csp":
            self._requests.pop(content["params"]["requestId"], None)
        elif method == "Page.loadEventFired":
            self._loaded += 1
        elif method == "Page.javascriptDialogOpening":
            self.messages.append(f"dialog: {content['params']['message']}")
        return content

    def call(self, method: str, **params: Any) -> Any:
        """The answer to an order."""
        self._count += 1
        session = {"sessionId": self._session} if self._session else {}
        order = {"id": self._count, "method": method, "params": params, **session}
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while (content := self._receive()).get("id") != self._count:
            pass
        assert "error" not in content, content
        return content["result"]

    @property
    def requested(self) -> list[str]:
        """Addresses that anything was loaded from; not what is part of the page."""
        return [url for url in self._requests.values() if not url.startswith("data:")]

    def open(self, path: Path, place: str = "") -> None:
        """Load a file anew, at a place of it: "#sort=2"."""
        self.call("Page.navigate", url="about:blank")
        self.evaluate("1")
        self.messages.clear()
        self._requests.clear()
        self._loaded = 0
        self.call("Page.navigate", url=path.as_uri() + place)
        while not self._loaded:
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of the first element that matches."""
        where = self.evaluate(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); "
            "one.scrollIntoView({block: 'center', inline: 'center'}); "
            "const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press and release a key: "Enter", "Escape"."""
        code = {"Enter": 13, "Escape": 27, " ": 32}[key]
        words = {"text": "\r"} if key == "Enter" else {"text": key} if key == " " else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **words)

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path: Path) -> bytes:
        """A picture of what is seen, as PNG."""
        content = base64.b64decode(self.call("Page.captureScreenshot")["data"])
        path.write_bytes(content)
        return content


@contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    """A new browser with a new profile in a folder, and its one tab."""
    orders_read, orders = os.pipe()
    answers, answers_write = os.pipe()
    where = program()
    launch = [sys.executable, "-c", LAUNCH, str(orders_read), str(answers_write), where]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [*launch, *OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            pass_fds=(orders_read, answers_write),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    os.close(orders_read)
    os.close(answers_write)
    try:
        yield Tab(orders, answers)
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)
        os.close(orders)
        os.close(answers)
