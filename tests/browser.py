"""Chromium without a window, driven over a pipe by its own protocol (DevTools); nothing to install but the browser."""

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.stack import until

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The browser inherits the two ends as files 3 and 4, whatever their numbers are here.
_START = 'exec "$0" "$@" 3<"/dev/fd/$LONGHAND_IN" 4>"/dev/fd/$LONGHAND_OUT"'
_FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--no-proxy-server",
    "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
    "--lang=en-GB", "--force-device-scale-factor=1",
)  # fmt: skip


def executable() -> str | None:
    """Chromium, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Failed(AssertionError):
    """The browser refused, or a script threw."""


class Browser:
    """A browser with a profile of its own; ``with Browser(folder) as browser: page = browser.page()``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages: dict[str, Page] = {}
        self._ids = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._ended = False

    def __enter__(self) -> Self:
        found = executable()
        assert found is not None
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        flags = [*_FLAGS, f"--user-data-dir={self.folder / 'profile'}"]
        if os.geteuid() == 0:  # its sandbox does not work for root
            flags.append("--no-sandbox")
        pipes = {"LONGHAND_IN": str(theirs_in), "LONGHAND_OUT": str(theirs_out)}
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", _START, found, *flags, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            env={**os.environ, **pipes, "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Failed, OSError):
            self.send("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self._reader.join(10)
        os.close(self._to)
        os.close(self._from)

    def page(self, *, width: int = 1100, height: int = 900) -> "Page":
        """A tab whose cookies and storage no other one shares."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session, context)
        page.prepare(width, height)
        return page

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Have the browser do something; its answer."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        with self._news:
            arrived = self._news.wait_for(lambda: number in self._answers or self._ended, timeout=30)
        if not arrived or number not in self._answers:
            raise Failed(f"the browser did not answer {method}")
        answer = self._answers.pop(number)
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    def _read(self) -> None:
        for message in self._messages():
            with self._news:
                if "id" in message:
                    self._answers[message["id"]] = message
                elif (page := self.pages.get(message.get("sessionId", ""))) is not None:
                    page.heard(message["method"], message["params"])
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _messages(self) -> Iterator[dict[str, Any]]:
        rest = b""
        while block := os.read(self._from, 1 << 20):
            *whole, rest = (rest + block).split(b"\0")
            for one in whole:
                yield json.loads(one)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self.complaints: list[str] = []
        """Errors on its console, exceptions nobody caught, and everything its policy refused."""
        self.refused: list[tuple[int, str]] = []
        """Answers of the server from 400 on: status and address."""
        self.addresses: list[str] = []
        """Everything it asked for."""

    def prepare(self, width: int, height: int) -> None:
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.do(f"{domain}.enable")
        self.size(width, height)

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.send(method, self._session, **parameters)

    def heard(self, method: str, news: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = news["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and news["type"] in ("error", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in news["args"]))
        elif method == "Log.entryAdded" and news["entry"]["level"] in ("error", "warning"):
            # That the server refuses something is no fault of the page; tests look at what was refused themselves.
            if news["entry"]["source"] != "network":
                self.complaints.append(news["entry"]["text"])
        elif method == "Network.responseReceived" and news["response"]["status"] >= 400:
            self.refused.append((news["response"]["status"], news["response"]["url"]))
        elif method == "Network.requestWillBeSent":
            self.addresses.append(news["request"]["url"])

    def open(self, url: str) -> None:
        self.do("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        found = self.do("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in found:
            raise Failed(f"{script}: {found['exceptionDetails']['exception'].get('description')}")
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> Any:
        """The value of an expression once it is something."""
        found = f"(v => v instanceof Node || v)({script})"
        try:
            return until(lambda: self.run(found), seconds, script, (Failed,))
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.complaints} {self.refused} the page:\n{self.text()[:2000]}") from None

    def text(self) -> str:
        return str(self.run("document.body?.innerText"))

    def click(self, selector: str) -> None:
        """Press the mouse where an element is."""
        self.wait(f"document.querySelector({json.dumps(selector)})?.getClientRects().length")
        where = self.run(
            f"(() => {{ const n = document.querySelector({json.dumps(selector)});"
            "n.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = n.getClientRects()[0]; return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        self.wait(f"document.querySelector({json.dumps(selector)})")
        self.run(f"(() => {{ const n = document.querySelector({json.dumps(selector)}); n.focus(); n.select?.(); }})()")
        self.do("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in a file field."""
        root = self.do("DOM.getDocument")["root"]["nodeId"]
        node = self.do("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.do("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def downloads_to(self, folder: Path) -> None:
        self._browser.send(
            "Browser.setDownloadBehavior", behavior="allow", browserContextId=self._context, downloadPath=str(folder)
        )

    def size(self, width: int, height: int) -> None:
        scale = {"deviceScaleFactor": 1, "mobile": width < 600}
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, **scale)

    def dark(self, on: bool = True) -> None:
        value = "dark" if on else "light"
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def offline(self) -> None:
        """Cut it off; ``throttle`` connects it again."""
        self._network(offline=True, uploadThroughput=-1)

    def throttle(self, bytes_per_second: int) -> None:
        """Let it send no faster; -1: as fast as it can."""
        self._network(offline=False, uploadThroughput=bytes_per_second)

    def _network(self, **conditions: Any) -> None:
        self.do("Network.emulateNetworkConditions", latency=0, downloadThroughput=-1, **conditions)

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        data = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
        return path
