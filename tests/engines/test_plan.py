"""What the bytes of real plans say, and of what is none."""

import dataclasses

import numpy as np
import pytest

from tests.engines.rehearsal import facts
from tests.preflighting.sketches import Sketch, write
from tftrt_yolo.contract import Metadata
from tftrt_yolo.engines import engine_file, plan
from tftrt_yolo.engines.plan import PlanFacts
from tftrt_yolo.ground.workers.worker import Worker
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.profiles import Profile
from tftrt_yolo.preflighting.real_builder import builders
from tftrt_yolo.preflighting.real_builder.engine import Order
from tftrt_yolo.selection import Selection

H, W = 40, 56  # height and width that stand for nothing else
NAMES = ("images", "output0")
MODEL = Metadata("detect", {0: "a"}, (H, W), 8, Selection(), "model.pt")


def _built(folder, batch_sizes, capability):
    """A plan of TensorRT-RTX of frames that are their own boxes and scores; its process writes the file."""
    sketch = Sketch("TRTEngineOp_000_000")
    frames = sketch.input(-1, H, W, 3)
    flat = sketch.layer("SHUFFLE", [frames], (-1, H * W * 3), reshape=(0, H * W * 3))
    numbers = []
    for first, shape in ((0, (30, 4)), (200, (30, 1))):
        places = np.arange(first, first + int(np.prod(shape)), dtype=np.int32)
        picked = sketch.layer("GATHER", [flat, sketch.constant(places)], (-1, len(places)), axis=1)
        numbers.append(sketch.layer("SHUFFLE", [picked], (-1, *shape), reshape=(0, *shape)))
    names = dict(zip((sketch.tensors[number].name for number in numbers), ("boxes", "scores"), strict=True))
    network = dataclasses.replace(sketch.network(*numbers), signature_outputs=names)
    recording_dir = write([network], folder / "recording")
    order = Order(builders.find(), capability, batch_sizes, in_half=False)
    with Worker("tftrt_yolo.engines.plan_worker") as worker:
        job = {"metadata": MODEL, "precision_mode": "FP32", "engine_path": folder / "a.engine"}
        worker.start(recording_dir=recording_dir.resolve(), order=order, **job)
        worker.receive()
    return engine_file.read(folder / "a.engine")


@pytest.mark.parametrize(
    ("batch_sizes", "capability", "batch", "profiles"),
    [
        ((3, 11, 5), "8.6", -1, [(3, 11, 11)]),
        ((1, 2), "12.0", -1, [(1, 2, 2)]),
        ((5,), "7.5", 5, []),  # fixed
    ],
)
def test_a_plan_says_what_it_was_built_for(batch_sizes, capability, batch, profiles, tmp_path):
    file = _built(tmp_path, batch_sizes, capability)
    found = plan.read(file.plan(), NAMES)
    assert found == PlanFacts(
        version=builders.find().version,
        compute_capability=capability,
        tensors=(
            IOTensor("images", "FLOAT", (batch, 3, H, W), is_input=True),
            IOTensor("output0", "FLOAT", (batch, 5, 30), is_input=False),
        ),
        profiles=tuple(Profile(*((size, 3, H, W) for size in sizes)) for sizes in profiles),
    )
    assert found.unread == ()
    assert plan.disagreements(found, file.facts) == ()
    for change, what in {
        "builder_version": "the version in the plan: 1.7.1.116; asked for: 9.9",
        "compute_capability": f"the compute capability in the plan: {capability}; asked for: 9.9",
    }.items():
        assert plan.disagreements(found, dataclasses.replace(file.facts, **{change: "9.9"})) == (what,)
    shorter = {"builder_version": "1.7.1", "compute_capability": engine_file.UNTOLD_GPU}  # as TensorRT's may be
    assert plan.disagreements(found, dataclasses.replace(file.facts, **shorter)) == ()
    other = dataclasses.replace(file.facts.tensors[0], type="HALF")
    changed = dataclasses.replace(file.facts, tensors=(other, *file.facts.tensors[1:]))
    (disagreement,) = plan.disagreements(found, changed)
    assert disagreement.startswith(f"the tensors in the plan: images FLOAT ({batch}, 3, {H}, {W}), output0")
    changed = dataclasses.replace(file.facts, profiles={"images": (Profile(*[(9, 3, H, W)] * 3),)})
    (disagreement,) = plan.disagreements(found, changed)
    assert disagreement.startswith("the profiles in the plan: ")


@pytest.mark.parametrize(
    "data",
    [b"", b"vtrt", bytes(4000), b"what TensorRT built" * 100, np.random.default_rng(0).bytes(100_000)],
    ids=["nothing", "a mark", "zeros", "words", "noise"],
)
def test_what_is_no_plan_says_nothing(data):
    found = plan.read(data, NAMES)
    assert found == PlanFacts(None, None, None, None)
    assert found.unread == ("version", "compute_capability", "tensors", "profiles")
    assert plan.disagreements(found, facts(())) == ()


def test_a_plan_that_is_cut_anywhere_ends_without_an_error(tmp_path):
    data = _built(tmp_path, (1, 2), "8.9").plan()
    whole = plan.read(data, NAMES)
    seen = {plan.read(data[:length], NAMES) for length in range(0, len(data), len(data) // 150)}
    for found in seen:  # what is read of a part is what is read of the whole
        for field in ("version", "compute_capability", "tensors"):
            assert getattr(found, field) in (None, getattr(whole, field))
    assert len(seen) > 1


def test_names_that_are_not_there(tmp_path):
    data = _built(tmp_path, (1, 2), "8.9").plan()
    assert plan.read(data, ("images", "output1")).unread == ("tensors", "profiles")
    assert plan.read(data, (".*", "[")).unread == ("tensors", "profiles")
