import os
import time

from tftrt_yolo.serving.page.uploads import Uploads


def test_old_files_go_and_used_ones_stay():
    uploads = Uploads(most_bytes=100)
    old, used, new = (uploads.path / name / "a.jpg" for name in ("old", "used", "new"))
    for path in (old, used, new):
        path.parent.mkdir()
        path.write_bytes(bytes(30))
        os.utime(path, (time.time() - 4_000,) * 2)
    new.touch()
    uploads.used(used)
    assert uploads.has_room
    uploads.sweep()
    assert [path.exists() for path in (old, used, new)] == [False, True, True]
    assert not old.parent.exists()
    uploads.used(old)  # gone meanwhile
    uploads.remove()
    assert not uploads.path.exists()


def test_what_lies_in_it(tmp_path):
    uploads = Uploads(most_bytes=100)
    (uploads.path / "a.jpg").write_bytes(bytes(100))
    (tmp_path / "b.jpg").touch()
    (uploads.path / "link").symlink_to(tmp_path / "b.jpg")
    assert uploads.holds(str(uploads.path / "a.jpg"))
    for path in (
        uploads.path,
        tmp_path / "b.jpg",
        uploads.path / "link",
        uploads.path / "c.jpg",
        "",
        "\0",
        "http://x/",
    ):
        assert not uploads.holds(str(path))
    assert not uploads.has_room
    assert oct(uploads.path.stat().st_mode & 0o777) == "0o700"
    uploads.remove()
