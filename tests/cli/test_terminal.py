"""What a stranger's file holds reaches the terminal escaped: it would obey it."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import TINY_WEIGHTS
from tftrt_yolo.cli import terminal
from tftrt_yolo.ground import chatter
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.workers.progress import Progress

_EVIL = "a\x1b[2Jb\x9b31mc\u202ed\x07e\rf\u2028g\x7fh\udc80i\U000e0001j [red]k[/red] été 日本"
_PLAIN = r"a\x1b[2Jb\x9b31mc\u202ed\x07e\rf\u2028g\x7fh\udc80i\U000e0001j [red]k[/red] été 日本"


def test_reports_and_errors(capsys):
    terminal.show(_EVIL)
    assert terminal.fail(f"predict: {_EVIL}", 1) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{_PLAIN}\n"
    assert captured.err == f"tftrt-yolo predict: {_PLAIN}\n"


def test_warnings_of_ours_and_of_python():
    code = "import warnings\nimport absl.logging\nfrom tests.cli import test_terminal\n"
    code += "with test_terminal.terminal.warnings_of_ours():\n    absl.logging.warning('%s', test_terminal._EVIL)\n"
    code += "    warnings.warn(test_terminal._EVIL)\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == f"tftrt-yolo: {_PLAIN}\ntftrt-yolo: UserWarning: {_PLAIN}\n"


def test_json_stays_json_and_is_escaped():
    """C0 is escaped by JSON itself; C1, deletion and what changes directions are not, and are in whole reports."""
    text = documents.to_json(Progress(_EVIL, {_EVIL: 1}))
    assert json.loads(text) == {"format_version": 1, "done": _EVIL, "total": {_EVIL: 1}}
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "été 日本" in text


_LINE = """
import sys, time
from tftrt_yolo.cli import terminal

def function(*, on_line):
    pass

function.__annotations__ = {"on_line": __import__("collections.abc").abc.Callable[[str], None]}
with terminal.progress_of("benchmark", function) as callback:
    callback["on_line"](sys.argv[1])
    time.sleep(0.5)
"""


_STAGES = """
import sys, time
import tftrt_yolo
from tftrt_yolo.cli import terminal
from tftrt_yolo.ground import stages

with terminal.progress_of("export", tftrt_yolo.export) as callback:
    callback["on_progress"](2, 5)
    stages.enter(sys.argv[1])
    time.sleep(1.5)
"""


def _on_a_terminal(code):
    """What a terminal is shown; _EVIL is the code's argument."""
    pty = pytest.importorskip("pty")
    mine, theirs = pty.openpty()
    evil = _EVIL.replace("\udc80", "")
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen([sys.executable, "-c", code, evil], stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(mine, 1 << 16)
        except OSError:  # it has ended
            break
    os.close(mine)
    assert process.wait() == 0
    return shown.decode()


def test_progress_on_a_terminal():
    """Its markup is not taken for rich's, either."""
    assert _PLAIN.replace(r"\udc80", "") in _on_a_terminal(_LINE)


def test_stages_on_a_terminal():
    """With how many are done, and the seconds."""
    shown = _on_a_terminal(_STAGES)
    assert f"export: {_PLAIN}".replace(r"\udc80", "") in shown
    assert "2/5" in shown
    assert "0:00:01" in shown


_COUNTS = """
import sys, time
import tftrt_yolo
from tftrt_yolo.cli import terminal

with terminal.progress_of("predict", tftrt_yolo.predict) as callback:
    callback["on_progress"](1_234, None)
    time.sleep(0.5)
"""


def test_a_count_without_an_end():
    """Of a stream: how many frames are done, and no bar, for nobody knows of how many."""
    shown = _on_a_terminal(_COUNTS)
    assert "1,234" in shown
    assert "/?" not in shown.partition("1,234")[2]
    assert "\u2501" not in shown.partition("1,234")[2]  # of which rich's bar is made


def test_nothing_of_it_in_a_pipe():
    result = subprocess.run([sys.executable, "-c", _STAGES, "x"], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "")


def test_what_native_code_writes():
    lines = f"I0000 chatter\n{_EVIL}\n".replace("\udc80", "")
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", chatter.FILTER], input=lines.encode() + b"\xff\n", capture_output=True
    )
    assert result.stdout.decode() == _PLAIN.replace(r"\udc80", "") + "\n\\xff\n"


def test_the_filter_imports_nothing_from_the_working_directory(tmp_path):
    for name in ("re", "signal", "sys", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w')")
    code = "import sys, os\nfrom tftrt_yolo.cli import terminal\nos.environ.pop('TF_CPP_MIN_LOG_LEVEL', None)\n"
    code += f"os.chdir({str(tmp_path)!r})\nwith terminal.quiet():\n    os.write(2, b'I0000 chatter\\nfatal\\n')\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == "fatal\n"
    assert not (tmp_path / "canary").exists()


def test_a_command_with_a_name_that_a_terminal_would_obey(tmp_path):
    folder = tmp_path / "\x1b[2J\x9b31m"
    command = [sys.executable, "-m", "tftrt_yolo", "predict", folder, f"--source={TINY_WEIGHTS}"]
    result = subprocess.run([*command, f"--output_dir={tmp_path / 'x'}"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert r"\x1b[2J\x9b31m" in result.stderr
    assert all(character.isprintable() or character == "\n" for character in result.stderr)
