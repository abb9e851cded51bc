import shutil

import numpy as np

from tests.conftest import IMAGES
from tests.predictor.sources import media
from tftrt_yolo import ImageError
from tftrt_yolo.pipelines.ray_data import listing
from tftrt_yolo.pipelines.ray_data.source_options import BatchSourceOptions
from tftrt_yolo.predictor.sources.opening import open_source
from tftrt_yolo.predictor.sources.source_options import SourceOptions


def _contents(source, **options):
    items = listing.items(BatchSourceOptions(source=source, **options))
    return {path: content for item in items for path, content in listing.read(item)}


def test_frames_are_those_of_a_stream(tmp_path):
    clip = media.video(tmp_path / "clip.mp4", codec="libx264", pixels="yuv420p")
    shutil.copy(IMAGES[0], tmp_path / "a.jpg")
    for source, name in ((tmp_path, str(clip)), (f"file://{tmp_path}", f"file://{clip}")):
        contents = _contents(source, vid_stride=3)
        assert list(contents) == [name.replace("clip.mp4", "a.jpg")] + [f"{name}#{index}" for index in range(0, 20, 3)]
        expected = open_source(SourceOptions(source=clip, vid_stride=3)).images
        for frame, content in zip(expected, list(contents.values())[1:], strict=True):
            np.testing.assert_array_equal(frame.image, content)


def test_a_video_that_is_damaged_or_cut_short_says_so_in_a_row_of_its_own(tmp_path):
    clip = media.video(tmp_path / "clip.mkv", codec="mpeg4", pixels="yuv420p")
    (tmp_path / "none.mp4").write_bytes(b"no video")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    contents = _contents(tmp_path)
    errors = {path: str(content) for path, content in contents.items() if isinstance(content, ImageError)}
    assert set(errors) == {str(clip), f"{tmp_path}/none.mp4"}
    assert "cut short" in errors[str(clip)]
    assert "is no video that can be read" in errors[f"{tmp_path}/none.mp4"]
    assert 0 < len(contents) - 2 < 20
