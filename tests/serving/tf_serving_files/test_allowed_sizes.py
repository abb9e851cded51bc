"""Which batch sizes a server is to make, by what the conversion says."""

import dataclasses

import pytest

from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.serving.tf_serving_files.allowed_sizes import ANY, allowed_sizes


def _changed(handle, **conversion):
    return dataclasses.replace(handle, conversion=handle.conversion | conversion)


def test_an_export_runs_any(toy_export):
    handle = open_saved_model(toy_export)
    assert allowed_sizes(handle, None) == ANY
    assert allowed_sizes(handle, [16, 1, 16]) == (1, 16)


def test_engines_have_their_sizes(tiny_conversion):
    handle = open_saved_model(tiny_conversion)
    built = _changed(handle, engines_built=True, has_stand_in=False, batch_sizes=[8, 1, 4])
    assert allowed_sizes(built, None) == (1, 4, 8)
    assert allowed_sizes(built, (8,)) == (8,)
    with pytest.raises(
        ValueError, match=r"^batch_sizes has 2, and .* has engines for 1, 4, 8; expected some of 1, 4, 8"
    ):
        allowed_sizes(built, (1, 2))
    unbuilt = _changed(handle, engines_built=False, batch_sizes=[1, 8])
    assert allowed_sizes(unbuilt, None) == (8,)
    with pytest.raises(ValueError, match=r"^batch_sizes has 1, and .*of 8, and for no other; expected 8\. Leave"):
        allowed_sizes(unbuilt, (1,))


def test_engines_of_a_rehearsal_are_for_no_server(tiny_conversion):
    handle = _changed(open_saved_model(tiny_conversion), engines_built=True, has_stand_in=True)
    with pytest.raises(ServingError, match=r"holds engines of a rehearsal.*expected TensorRT's, or none\. No server"):
        allowed_sizes(handle, None)


@pytest.mark.parametrize(("sizes", "expected"), [([], ANY), (None, ANY), ([16, 2], (2, 16))])
def test_what_xla_compiles(toy_export, tmp_path, sizes, expected):
    """A conversion's words; none of powers of two, and of older versions."""
    conversion = {
        "saved_model_dir": "a", "output_saved_model_dir": "b", "accelerator": "xla", "precision_mode": "FP16",
        "tensorflow_version": "2.17.1", "seconds": 1.0, "matrix_ops": 71, "is_jitted": True, "batch_sizes": sizes,
        "parity": {
            "images": 1, "detections": 1, "matched": 1, "arithmetic": "", "extra": 0, "differences": {}, "device": ""},
    }  # fmt: skip
    handle = dataclasses.replace(open_saved_model(toy_export), conversion=conversion)
    assert allowed_sizes(handle, None) == expected
