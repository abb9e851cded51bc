"""Where Apache Beam is not installed."""

import subprocess
import sys


def test_what_to_install_is_said():
    code = "import sys\nsys.modules['apache_beam'] = None\nimport tftrt_yolo.beam"  # as if it were not there
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "ImportError: tftrt_yolo.beam needs Apache Beam, which cannot be imported" in ended.stderr
    assert "pip install 'tftrt_yolo[beam]', in an environment of its own" in ended.stderr
