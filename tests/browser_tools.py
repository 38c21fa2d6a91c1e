"""A real browser for tests: found or named, watched for errors, and asked what it shows."""

import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 300  # seconds: the machine may be busy with other things
HOW = "install it with `apt-get install chromium` (Debian, Ubuntu)"


def chromium() -> str:
    """Return the system's browser; without one skip, but fail where every check is to be run."""
    if found := shutil.which("chromium"):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"no chromium on a check machine; {HOW}")
    pytest.skip(f"no chromium for the browser tests; {HOW}")


@contextmanager
def opened(width: int = 1300, height: int = 1000) -> Iterator[tuple[object, list[str]]]:
    """Yield a page and the list in which its errors and foreign requests are noted."""
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if local(r.url) else complaints.append(f"asked for {r.url}"))
        yield page, complaints
        browser.close()


def local(url: str) -> bool:
    """Whether an address stays on this machine."""
    return url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:", "ws://127.0.0.1:"))


def until(true: Callable[[], object], page: object, what: str) -> None:
    """Wait until something holds; the page goes on working meanwhile."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"never came true: {what}"
        page.evaluate("new Promise(requestAnimationFrame)")


PIXELS = """(element) => {
  const source = element.tagName === "CANVAS" ? element : element.querySelector("img");
  const canvas = document.createElement("canvas");
  canvas.width = source.naturalWidth || source.width;
  canvas.height = source.naturalHeight || source.height;
  canvas.getContext("2d").drawImage(source, 0, 0);
  return canvas.toDataURL("image/png");
}"""


def pixels(shown: object) -> np.ndarray:
    """Return what a canvas or picture holds, H,W,3."""
    packed = base64.b64decode(shown.evaluate(PIXELS).split(",")[1])
    return cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def alike(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two pictures differ by no more than two decoders of JPEG do."""
    return first.shape == second.shape and np.abs(first.astype(int) - second).mean() < 1.5


@contextmanager
def server(program: str, folder: Path, settings: Path, environment: dict[str, str]) -> Iterator[str]:
    """Yield the address, with its token, of ``jupyter lab`` or ``jupyter notebook`` on this machine only."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    news = settings / "lab/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True, exist_ok=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    names = {"CONFIG": "config", "RUNTIME": "runtime", "DATA": "data"}
    own = {f"JUPYTER_{key}_DIR": str(settings / name) for key, name in names.items()}
    own |= {
        "JUPYTERLAB_SETTINGS_DIR": str(settings / "lab"),
        "JUPYTERLAB_WORKSPACES_DIR": str(settings / "work"),
    }
    own["IPYTHONDIR"] = str(settings / "ipython")
    command = [sys.executable, "-m", program, "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [
        f"--ServerApp.root_dir={folder}",
        "--expose-app-in-browser",
        "--LabApp.extension_manager=readonly",
    ]
    with open(settings / "server.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | own | environment)
    try:
        answers(f"http://127.0.0.1:{port}/api", process, settings / "server.log")
        yield f"http://127.0.0.1:{port}/{{page}}?token={token}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def answers(address: str, process: subprocess.Popen, log: Path) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{address} never answered: {log.read_text()}")
