"""What a job's source may be."""

import pytest

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.pipelines.ray_data import listing
from tftrt_yolo.pipelines.ray_data.source_options import BatchSourceOptions


@pytest.mark.parametrize("source", ["nowhere", "nowhere/*.jpg", "/dev/null", "a\0b"])
def test_what_is_not_there_is_told_with_what_a_job_takes(source):
    """A job takes no webcam and no standard input, as `predict` does, and tables besides."""
    with pytest.raises(ImageError, match="Parquet tables with their column of images, or a URL") as caught:
        list(listing.items(BatchSourceOptions(source=source)))
    assert "webcam" not in str(caught.value)
