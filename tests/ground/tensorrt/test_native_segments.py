"""The variable that closes TF-TRT's detour is as it was before, whatever happens."""

import os

import pytest

from tftrt_yolo.ground.tensorrt import native_segments

VARIABLE = "TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"


@pytest.mark.parametrize("before", [None, "true", "false"])
@pytest.mark.parametrize("is_disallowed", [True, False])
def test_the_detour_is_closed_and_opened_again(monkeypatch, before, is_disallowed):
    if before is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, before)
    seen = []

    def fail():
        with native_segments.disallowed(is_disallowed):
            seen.append(os.environ.get(VARIABLE))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == ["false" if is_disallowed else before]
    assert os.environ.get(VARIABLE) == before
