import shutil

import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.predictor.sources import media
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.predictor.sources.opening import open_source
from tftrt_yolo.predictor.sources.source import Unreadable
from tftrt_yolo.predictor.sources.source_options import SourceOptions


@pytest.fixture
def folder(tmp_path):
    """Images and a video of four frames, here and in a folder within."""
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    for place in ("a.jpg", "deep/c.jpg", "deep/deeper/d.JPG"):
        shutil.copy(IMAGES[0], tmp_path / place)
    media.video(tmp_path / "b.mp4", 4)
    return tmp_path


def _names(source, folder, **options):
    """What a source gives, a word each: an image's path, or its number in a video."""
    images = list(open_source(SourceOptions(source=source, **options)).images)
    assert not [image.error for image in images if isinstance(image, Unreadable)]
    return [
        f"{name(image.source, folder)}:{image.index}" if isinstance(image, Frame) else name(image, folder)
        for image in images
    ]


def name(path, folder):
    return str(path).removeprefix(f"{folder}/")


VIDEO = [f"b.mp4:{index}" for index in range(4)]
SOURCES = [
    # what is named, how, and what it means
    ("", {}, ["a.jpg", *VIDEO]),
    ("", {"recursive": True}, ["a.jpg", *VIDEO, "deep/c.jpg", "deep/deeper/d.JPG"]),
    ("", {"vid_stride": 3}, ["a.jpg", "b.mp4:0", "b.mp4:3"]),
    ("deep", {}, ["deep/c.jpg"]),
    ("a.jpg", {}, ["a.jpg"]),
    ("b.mp4", {}, VIDEO),
    ("*", {}, ["a.jpg", *VIDEO]),
    ("*.mp4", {}, VIDEO),
    ("[ab].*", {}, ["a.jpg", *VIDEO]),
    ("**/*.jpg", {}, ["a.jpg", "deep/c.jpg"]),
    ("deep/**", {}, ["deep/c.jpg", "deep/deeper/d.JPG"]),
]


@pytest.mark.parametrize(("source", "options", "expected"), SOURCES)
def test_files_folders_and_globs(folder, source, options, expected):
    assert _names(str(folder / source), folder, **options) == expected
    assert _names(folder / source, folder, **options) == expected


def test_counts_are_told_where_they_are_known(folder):
    assert open_source(SourceOptions(source=folder / "deep", recursive=True)).count == 2
    assert open_source(SourceOptions(source=folder)).count is None
    assert open_source(SourceOptions(source=folder)).paths == (folder / "a.jpg", folder / "b.mp4")


LISTS = [
    # a list, and what it means
    ("list.txt", "a.jpg\nb.mp4\n", ["a.jpg", *VIDEO]),
    ("list.txt", "# of us\n\n  a.jpg  \n\n#b.mp4\n", ["a.jpg"]),
    ("list.txt", "a.jpg\r\ndeep\r\n", ["a.jpg", "deep/c.jpg"]),
    ("list.TXT", "deep/*/*\n", ["deep/deeper/d.JPG"]),
    ("list.txt", "\ufeffa.jpg", ["a.jpg"]),  # as some editors begin a text
    ("list.csv", "a.jpg,deep/c.jpg\nb.mp4\n", ["a.jpg", "deep/c.jpg", *VIDEO]),
    ("list.csv", '"a.jpg", "deep"\n', ["a.jpg", "deep/c.jpg"]),
    ("deep/list.txt", "c.jpg\n../a.jpg\n", ["deep/c.jpg", "deep/../a.jpg"]),
]


@pytest.mark.parametrize(("path", "text", "expected"), LISTS)
def test_lists(folder, path, text, expected):
    (folder / path).write_text(text)
    assert _names(folder / path, folder) == expected


def test_paths_of_a_list_count_from_its_folder_or_else_from_the_working_directory(
    folder, tmp_path_factory, monkeypatch
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "list.txt").write_text("a.jpg\n" + str(folder / "b.mp4"))
    monkeypatch.chdir(folder)
    assert _names(elsewhere / "list.txt", folder) == ["a.jpg", *VIDEO]
    shutil.copy(IMAGES[1], elsewhere / "a.jpg")
    assert _names(elsewhere / "list.txt", folder)[0] == str(elsewhere / "a.jpg")


def test_missing_entries_are_named_and_skipped_on_request(folder):
    (folder / "list.txt").write_text("gone.jpg\na.jpg\n*.png\nnowhere/x.mp4\n")
    message = (
        r"3 entries of .*list\.txt are not there: gone\.jpg, \*\.png, nowhere/x\.mp4\. Expected paths beside the list "
        r"or in the working directory, or URLs; found: 1 file\. Pass skip_unreadable=True to go on without\."
    )
    with pytest.raises(tftrt_yolo.ImageError, match=message):
        open_source(SourceOptions(source=folder / "list.txt"))
    source = open_source(SourceOptions(source=folder / "list.txt", skip_unreadable=True))
    assert source.count == 4
    images = list(source.images)
    assert [str(image) for image in images[:3]] == ["gone.jpg", "*.png", "nowhere/x.mp4"]
    assert images[3:] == [folder / "a.jpg"]
    for image in images[:3]:
        assert isinstance(image, Unreadable)
        with pytest.raises(tftrt_yolo.ImageError, match=r"of .*list\.txt is not there: (There is no|No) file"):
            image.__array__()


def test_one_missing_entry_among_many(folder):
    (folder / "list.txt").write_text("\n".join(f"gone{number}.jpg" for number in range(9)))
    with pytest.raises(tftrt_yolo.ImageError, match=r"9 entries .*gone4\.jpg, \.\.\.\. Expected"):
        open_source(SourceOptions(source=folder / "list.txt"))
    (folder / "list.txt").write_text("a.jpg\ngone.jpg")
    with pytest.raises(tftrt_yolo.ImageError, match=r"1 entry of .* is not there: gone\.jpg\."):
        open_source(SourceOptions(source=folder / "list.txt"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "lists nothing. Expected a path or a URL a line"),
        (b"# nothing\n\n", "lists nothing"),
        (b"\xff\xfe\0\0", "is no text in utf-8"),
        (b"list.txt\n", "is not there: list.txt"),  # a list of itself
        (b"cameras.streams\n", "is not there: cameras.streams"),
    ],
)
def test_lists_of_nothing(folder, data, message):
    (folder / "list.txt").write_bytes(data)
    (folder / "cameras.streams").write_text("0\n")
    with pytest.raises(tftrt_yolo.ImageError, match=message):
        open_source(SourceOptions(source=folder / "list.txt"))


def test_an_image_or_a_video_of_any_name(folder):
    """What a file is, its first bytes say."""
    shutil.copy(folder / "a.jpg", folder / "image.txt")
    shutil.copy(folder / "a.jpg", folder / "image.mp4")
    shutil.copy(folder / "b.mp4", folder / "video.dat")
    assert _names(folder / "image.txt", folder) == ["image.txt"]
    assert _names(folder / "image.mp4", folder) == ["image.mp4"]
    assert _names(folder / "video.dat", folder) == [f"video.dat:{index}" for index in range(4)]


def test_a_program_is_no_video(folder):
    (folder / "deep" / "index.ts").write_text("const a = 1;")
    media.video(folder / "deep" / "video.ts", 20)
    assert _names(folder / "deep", folder) == ["deep/c.jpg", *(f"deep/video.ts:{index}" for index in range(20))]


def test_a_folder_with_nothing_says_what_it_holds(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "raw.dng").touch()
    with pytest.raises(tftrt_yolo.ImageError, match=r"no image and no video.* count with recursive\. Left out: 1 file"):
        open_source(SourceOptions(source=tmp_path))


def test_what_of_a_folder_is_left_out(folder):
    (folder / "raw.dng").touch()
    (folder / "deep" / "more.heic").touch()
    assert [line[:12] for line in open_source(SourceOptions(source=folder)).left_out] == ["1 file .dng "]
    deep = open_source(SourceOptions(source=folder, recursive=True)).left_out
    assert [line.partition(":")[0] for line in deep] == ["1 file .dng (raw.dng)", "1 file .heic (deep/more.heic)"]
