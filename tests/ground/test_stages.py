"""Names of stages reach who listens, in the thread and for the time of the call alone."""

import threading

from tftrt_yolo.ground import stages
from tftrt_yolo.ground.workers import progress


def test_names_reach_the_listener_alone():
    outer, inner = [], []
    stages.enter("nobody listens")
    with stages.told_to(outer.append):
        stages.enter("a")
        with stages.told_to(inner.append):
            stages.enter("b")
        other = threading.Thread(target=stages.enter, args=("in another thread",))
        other.start()
        other.join()
        stages.enter("c")
    stages.enter("nobody listens any more")
    assert (outer, inner) == (["a", "c"], ["b"])


def test_a_worker_names_its_stages():
    def steps():
        yield progress.Stage("reading")
        yield progress.Progress(1, 2)
        yield progress.Stage("writing")
        return {"done": True}

    names, counts = [], []
    with stages.told_to(names.append):
        assert progress.finish(steps(), lambda *numbers: counts.append(numbers)) == {"done": True}
    assert (names, counts) == (["reading", "writing"], [(1, 2)])
