import pytest

from tftrt_yolo.predictor.spelling import meant

_KNOWN = ("score_threshold", "iou_threshold", "classes")


@pytest.mark.parametrize(
    ("name", "prefix", "expected"),
    [
        ("conf", "", " Ultralytics' conf is score_threshold here."),
        ("conf-thres", "--", " Ultralytics' conf-thres is --score_threshold here."),
        ("clases", "", " Did you mean classes?"),
        ("clases", "--", " Did you mean --classes?"),
        ("max_det", "", ""),  # Ultralytics', for something that is not known here
        ("xyz", "", ""),
    ],
)
def test_what_was_meant(name, prefix, expected):
    assert meant(name, _KNOWN, prefix=prefix) == expected
