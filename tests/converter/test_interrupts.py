"""An interrupt while a worker writes: it ends before its directory is removed, so that nothing comes afterwards."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

import tftrt_yolo
from tftrt_yolo.converter import accelerators

_ENDLESS = """
import os
import time
from tftrt_yolo.ground.workers.progress import Progress

def work(*, output_dir, **_):
    yield Progress(os.getpid(), os.getpid())
    while True:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "saved_model.pb").touch()
        time.sleep(0.01)
"""


def test_a_worker_that_goes_on_writing_leaves_nothing(tiny_export, tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "outputs").mkdir()
    (tmp_path / "modules" / "endless.py").write_text(_ENDLESS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "modules"), os.environ.get("PYTHONPATH", "")]))
    endless = dataclasses.replace(accelerators.ACCELERATORS["tensorrt"], module="endless")
    monkeypatch.setitem(accelerators.ACCELERATORS, "tensorrt", endless)
    outputs, remove, workers, ran_on = tmp_path / "outputs", shutil.rmtree, [], []

    def interrupt(process_id, _):
        workers.append(process_id)
        raise KeyboardInterrupt

    def watched(path, **options):
        if Path(path).parent == outputs:
            ran_on.append(Path(f"/proc/{workers[0]}").exists())
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    with pytest.raises(KeyboardInterrupt):
        tftrt_yolo.convert(tiny_export, outputs / "model", on_progress=interrupt)
    assert ran_on
    assert not any(ran_on)
    assert list(outputs.iterdir()) == []
