import pytest

import tftrt_yolo
from tftrt_yolo.ground.errors import ServingError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"page": 1}, "page is 1"),
        ({"page": "yes"}, "page is 'yes'"),
        ({"page_frames": 0}, "page_frames is 0; it must be"),
        ({"page_frames": 1.5}, r"page_frames is 1\.5; it must be"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.PageOptions(**options)


def test_defaults():
    assert tftrt_yolo.PageOptions() == tftrt_yolo.PageOptions(page=False, page_frames=1_800)


def test_without_gradio():
    """It is said before anything starts: there is no such model either."""
    try:
        import gradio  # noqa: F401
    except ImportError:
        with pytest.raises(ServingError, match=r"pip install 'tftrt_yolo\[serve,demo,video\]'"):
            tftrt_yolo.serve("nowhere", page=tftrt_yolo.PageOptions(page=True))
    else:
        pytest.skip("gradio is installed here")
