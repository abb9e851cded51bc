"""Which GPU a process sees, and which cores it has."""

import os

import pytest

from tftrt_yolo.predictor.devices import places
from tftrt_yolo.predictor.devices.divided import label_of
from tftrt_yolo.predictor.devices.places import Place


def test_the_cores_are_divided_between_cpus():
    cores = sorted(os.sched_getaffinity(0))
    [one] = places.places(("CPU",))
    assert (one.name, one.cores, one.environment) == ("CPU", tuple(cores), {"CUDA_VISIBLE_DEVICES": "-1"})
    several = places.places(("CPU",) * 3)
    assert all(place.cores for place in several)
    assert sorted({core for place in several for core in place.cores}) == cores or len(cores) > 3
    if len(cores) >= 3:
        assert sum(len(place.cores) for place in several) == len(cores)


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (("GPU:0",), "GPU:0"),
        (("GPU:0", "GPU:1"), "GPU:0 and GPU:1"),
        (("GPU:0", "GPU:1", "CPU"), "GPU:0, GPU:1 and CPU"),
        (("CPU", "CPU"), "2 x CPU"),
    ],
)
def test_label_of(names, label):
    assert label_of([Place(name, {}) for name in names]) == label


def test_another_cpu_than_the_first_is_refused():
    with pytest.raises(ValueError, match=r"devices is 'CPU:1', which is not there; this machine has CPU"):
        places.places(("CPU", "CPU:1"))


@pytest.mark.gpu
def test_a_gpu_is_seen_alone():
    [place] = places.places(("GPU:0",))
    assert place.name == "GPU:0"
    assert place.cores is None
    assert "," not in place.environment["CUDA_VISIBLE_DEVICES"]
