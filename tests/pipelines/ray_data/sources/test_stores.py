"""Stores that come with fsspec: folders, archives and memory. A bucket behind a server is tried by hand."""

import re
import shutil
import zipfile

import fsspec
import pytest

from tests.conftest import IMAGES
from tftrt_yolo import BatchError, ImageError
from tftrt_yolo.pipelines.ray_data import listing
from tftrt_yolo.pipelines.ray_data.source_options import BatchSourceOptions
from tftrt_yolo.pipelines.ray_data.sources import stores


@pytest.fixture
def photos(tmp_path):
    """A folder with pictures, one of them in a subfolder, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for image, name in zip(IMAGES, ("b.jpg", "a.JPG", "deep/c.jpg"), strict=False):
        shutil.copy(image, folder / name)
    (folder / "notes.md").write_text("none")
    return folder


def _files(source, **options):
    return [item.file for item in listing.items(BatchSourceOptions(source=source, **options))]


def _contents(source, **options):
    items = listing.items(BatchSourceOptions(source=source, **options))
    return {path: content for item in items for path, content in listing.read(item)}


@pytest.mark.parametrize(
    ("pattern", "options", "names"),
    [
        ("", {}, ["a.JPG", "b.jpg"]),
        ("/", {"recursive": True}, ["a.JPG", "b.jpg", "deep/c.jpg"]),
        ("/*.jpg", {}, ["b.jpg"]),
        ("/**/*.jpg", {}, ["b.jpg", "deep/c.jpg"]),
        ("/deep/c.jpg", {}, ["deep/c.jpg"]),
        ("/notes.md", {}, ["notes.md"]),  # one that is named is taken, as on disk; that it is none is its row's reason
    ],
)
def test_a_folder_an_archive_and_memory_list_the_same(photos, tmp_path, pattern, options, names):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in photos.rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
    memory = fsspec.filesystem("memory")
    memory.put(str(photos), "/test_stores/photos", recursive=True)
    for before, behind in (
        (f"file://{photos}", ""),
        ("zip://photos", f"::file://{tmp_path}/a.zip"),
        ("memory://test_stores/photos", ""),
    ):
        contents = _contents(f"{before}{pattern}{behind}", **options)
        expected = [f"{before}/{name}{behind}".replace("memory://", "memory:///") for name in names]
        assert list(contents) == expected
        assert list(contents.values()) == [(photos / name).read_bytes() for name in names]
    memory.rm("/test_stores", recursive=True)


def test_a_url_keeps_its_host():
    """As hdfs:// has one, whose path fsspec gives without it."""
    assert stores._named("hdfs://node:8020/photos", "/photos", "/photos/a.jpg") == "hdfs://node:8020/photos/a.jpg"
    assert stores._named("s3://bucket/", "bucket", "bucket/a.jpg") == "s3://bucket/a.jpg"
    assert stores._named("zip://::s3://b/a.zip", "", "a.jpg") == "zip://a.jpg::s3://b/a.zip"


def test_a_folder_that_changed_is_listed_anew(photos):
    url = f"file://{photos}"
    assert len(_files(url)) == 2
    shutil.copy(IMAGES[3], photos / "d.jpg")
    assert len(_files(url)) == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("file://{}/none", r"file://.*/none cannot be read: there is no such bucket, folder or file \("),
        ("file://{}/*.png", r"No file matches the pattern file://.*/\*\.png\. Expected the URL of a picture"),
        ("file://{}/none/*.png", r"there is no such bucket, folder or file \("),
        ("file://{}/empty", r"empty holds no file that counts\. Expected files that end in \.3gp, "),
        ("file://{}/upper", r"It has 1 subfolder, which count with recursive\. There are files that end in \.md\.$"),
        (
            "zip://*.jpg::file://{}/notes.md",
            r"zip://\*\.jpg::file://.*notes\.md cannot be read: BadZipFile: File is not",
        ),
        ("nope://bucket/a", r"nope://bucket/a cannot be read: fsspec does not know nope:// \(Protocol not known: nope"),
        ("oci://bucket/a", r"oci:// needs a package that cannot be imported here: Install ocifs .* on every node"),
        (
            "ftp://127.0.0.1:1/photos",
            r"cannot be read: the store cannot be reached \(.*[Rr]efused.*\)\. Expected one that",
        ),
        ("file://{}/rows", r"end in \.parquet\. Parquet tables count with the name of their column of images in"),
        ("{}/rows", r"rows holds no image and no video\. .* Parquet tables count with the name of their column of"),
        ("rtsp://camera/1", r"rtsp://camera/1 is a live stream, which has no end\. Expected files; predict takes"),
        ("ftp://me:word@host/a", r"^ftp://me:\*\*\*@host/a holds a password, and sources are written down"),
        ("file://{}/rows.parquet", r"rows\.parquet is a Parquet table\. Expected .* in image_column; .* one: image\.$"),
    ],
)
def test_what_cannot_be_listed(tmp_path, source, message):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "empty").mkdir()
    (tmp_path / "upper" / "deep").mkdir(parents=True)
    for name in ("notes.md", "upper/notes.md"):
        (tmp_path / name).write_text("none")
    (tmp_path / "rows").mkdir()
    for name in ("rows.parquet", "rows/rows.parquet"):
        pq.write_table(pa.table({"image": [b"1"], "label": [1]}), tmp_path / name)
    with pytest.raises(ImageError, match=message):
        _files(source.format(tmp_path))


def test_credentials_are_asked_for_by_the_names_of_their_store():
    class NoCredentialsError(Exception):
        """As botocore's is called, which is no error of Python's own kinds."""

    error = NoCredentialsError("Unable to locate credentials")
    assert "AWS_ACCESS_KEY_ID" in stores._reason("s3a://bucket", error)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in stores._reason("gs://bucket", PermissionError("Anonymous caller"))


def test_what_is_gone_is_a_row_and_a_store_that_refuses_ends_the_run(photos):
    items = list(listing.items(BatchSourceOptions(source=f"file://{photos}")))
    (photos / "b.jpg").unlink()
    [(path, error)] = listing.read(items[1])
    assert path == f"file://{photos}/b.jpg"
    assert re.search(r"b\.jpg cannot be read: it was listed, and is not there any more\.", str(error))
    with pytest.raises(BatchError, match=r"^ocilake://bucket/a\.jpg cannot be read: ocilake:// needs a package"):
        list(listing.read(listing.Item("ocilake://bucket/a.jpg")))
