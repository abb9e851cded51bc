import sys

import pytest

from tftrt_yolo.ground.worker import Worker, WorkerCrashedError


def test_a_result_of_a_class_that_only_the_child_knows(tmp_path, monkeypatch):
    """PyTorch's version is such a one: a str of a class of torch's, which the parent may not have."""
    (tmp_path / "only_there.py").write_text(
        "class Version(str):\n    pass\n\n\ndef work():\n    return {'version': Version('2.11')}\n"
    )
    monkeypatch.setenv("TFTRT_YOLO_PEER_PYTHONPATH", str(tmp_path))
    with Worker("only_there", python=sys.executable) as worker:
        worker.start()
        with pytest.raises(WorkerCrashedError, match=r"package which is not here.*only_there"):
            worker.receive()
