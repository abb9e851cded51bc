"""Buckets of a server that speaks S3, on this machine; run by hand where s3fs and moto are installed:

pip install s3fs 'moto[server]' && pytest tests/pipelines/ray_data/sources/test_buckets.py
"""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import IMAGES
from tests.predictor.sources import media
from tftrt_yolo import ImageError
from tftrt_yolo.pipelines.ray_data import listing
from tftrt_yolo.pipelines.ray_data.source_options import BatchSourceOptions

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """The bucket photos, with pictures, a table, a video and an empty file."""
    import s3fs

    running = server.ThreadedMotoServer("127.0.0.1", 0)
    running.start()
    folder = tmp_path_factory.mktemp("bucket")
    pq.write_table(pa.table({"image": [path.read_bytes() for path in IMAGES[:3]]}), folder / "rows.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:{1}".format(*running.get_host_and_port()))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "none")
        store = s3fs.S3FileSystem(skip_instance_cache=True)
        store.mkdir("photos")
        for image, name in zip(IMAGES, ("b", "a ä+#1?", "deep/c"), strict=False):
            store.put(str(image), f"photos/in/{name}.jpg")
        store.put(str(folder / "rows.parquet"), "photos/tables/rows.parquet")
        store.put(str(media.video(folder / "clip.mp4", codec="libx264")), "photos/films/clip.mp4")
        store.pipe("photos/in/empty.jpg", b"")
        store.pipe("photos/in/folder/", b"")
        yield patch
    running.stop()


def _contents(source, **options):
    items = listing.items(BatchSourceOptions(source=source, **options))
    return {path: content for item in items for path, content in listing.read(item)}


def test_pictures_tables_and_videos_of_a_bucket(bucket):
    names = {"s3://photos/in/b.jpg": 0, "s3://photos/in/a ä+#1?.jpg": 1, "s3://photos/in/deep/c.jpg": 2}
    for url in ("s3://photos/in", "s3://photos/in/**/*.jpg"):
        contents = _contents(url, recursive=True)
        assert contents.pop("s3://photos/in/empty.jpg") == b""
        assert contents == {name: IMAGES[index].read_bytes() for name, index in names.items()}
    rows = _contents("s3://photos/tables", image_column="image")
    assert rows == {f"s3://photos/tables/rows.parquet#{row}": IMAGES[row].read_bytes() for row in range(3)}
    assert list(_contents("s3://photos/films")) == [f"s3://photos/films/clip.mp4#{index}" for index in range(20)]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "s3://none/in",
            r"^s3://none/in cannot be read: there is no such bucket, folder or file \(The specified bucket",
        ),
        ("s3://none/*.jpg", r"there is no such bucket, folder or file \(The specified bucket does not exist\)"),
        ("s3://photos/none", r"there is no such bucket, folder or file \(photos/none\)"),
        ("s3://photos/in/*.png", r"^No file matches the pattern s3://photos/in/\*\.png\."),
        (
            "s3://photos",
            r"^s3://photos holds no file that counts\. .* It has 3 subfolders, which count with recursive\.",
        ),
    ],
)
def test_what_is_not_there(bucket, url, message):
    with pytest.raises(ImageError, match=message):
        _contents(url)


def test_credentials_that_are_missing(bucket, tmp_path):
    import s3fs

    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(
            ImageError, match=r"credentials are missing \(Unable to locate .* such as AWS_ACCESS_KEY_ID"
        ):
            _contents("s3://photos/in")
    s3fs.S3FileSystem.clear_instance_cache()
