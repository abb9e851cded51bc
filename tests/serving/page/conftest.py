"""A server with the page, in a process of its own, and a browser before it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_CHROMIUM = "/usr/bin/chromium"
TASKS = ("tiny", "segment", "pose", "obb", "classify", "semantic", "depth")


class Served:
    """A server that was started, and where it is."""

    def __init__(self, process, log, temporary):
        self.process, self.log, self.temporary = process, log, temporary
        self.url = re.search(r"^  http +(\S+)$", log.read_text(), re.MULTILINE)[1]

    def end(self):
        """Ends it with TERM; gives its exit status and seconds."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60), time.monotonic() - start


@contextlib.contextmanager
def serving(folder, *flags):
    """Starts `tftrt-yolo serve --page` on a free port."""
    folder.mkdir()
    log, temporary = folder / "log", folder / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "tftrt_yolo", "serve", "--page", "--http_port=0", "--grpc_port=-1", *flags]
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=file, env={**os.environ, "TMPDIR": str(temporary)}
        )
    try:
        until = time.monotonic() + 240
        while "Serving until" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield Served(process, log, temporary)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def repository(models, tmp_path_factory):
    """A repository with a small model of each task."""
    folder = tmp_path_factory.mktemp("repository")
    for name in TASKS:
        (folder / name).mkdir()
        (folder / name / "1").symlink_to(models.exported(name), target_is_directory=True)
    return folder


@pytest.fixture(scope="module")  # its loop runs as long as it does, and others begin their own
def chromium():
    """Debian's browser."""
    api = pytest.importorskip("playwright.sync_api", reason="make test-page has playwright")
    pytest.importorskip("gradio", reason="make test-page has gradio")
    if not Path(_CHROMIUM).exists():
        pytest.skip(f"there is no {_CHROMIUM}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
