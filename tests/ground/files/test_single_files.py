"""Output files that appear whole or not at all."""

import os
import re

import pytest

from tftrt_yolo.ground.files import directories, single_files


def _ours(path):
    return path.read_bytes().startswith(b"ours")


def _write(path, *, overwrite=False, data=b"ours, new"):
    with single_files.written_whole(path, _ours, overwrite=overwrite) as partial:
        assert partial.parent == path.parent
        assert not partial.exists()
        partial.write_bytes(data)


def test_a_file_appears_with_its_folders(tmp_path):
    _write(tmp_path / "a" / "b" / "file")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"ours, new"
    assert os.listdir(tmp_path / "a" / "b") == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_is_left_of_what_fails(tmp_path, error):
    (tmp_path / "there").write_bytes(b"ours, old")
    for path in (tmp_path / "a" / "b" / "file", tmp_path / "there"):
        with pytest.raises(type(error) if isinstance(error, OSError) else error):  # noqa: SIM117, PT012
            with single_files.written_whole(path, _ours, overwrite=True) as partial:
                partial.write_bytes(b"half")
                raise error
    assert os.listdir(tmp_path) == ["there"]
    assert (tmp_path / "there").read_bytes() == b"ours, old"


def test_an_earlier_file_is_replaced_only_if_asked(tmp_path):
    path = tmp_path / "file"
    _write(path, data=b"ours, old")
    message = f"{re.escape(str(path))} exists already. Choose another file, or pass overwrite=True to replace it"
    with pytest.raises(FileExistsError, match=message):
        _write(path)
    assert path.read_bytes() == b"ours, old"
    _write(path, overwrite=True)
    assert path.read_bytes() == b"ours, new"


def _foreign(tmp_path):
    (tmp_path / "notes").write_bytes(b"notes")
    (tmp_path / "folder").mkdir()
    (tmp_path / "ours").write_bytes(b"ours")
    (tmp_path / "link").symlink_to("ours")
    (tmp_path / "loose").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    return ("notes", "folder", "link", "loose", "fifo")


def test_what_others_wrote_is_never_replaced(tmp_path):
    for name in _foreign(tmp_path):
        with pytest.raises(
            FileExistsError, match=f"{name} exists and does not say that this wrote it, so overwrite=True does not"
        ):
            _write(tmp_path / name, overwrite=True)
    assert (tmp_path / "notes").read_bytes() == b"notes"
    assert (tmp_path / "ours").read_bytes() == b"ours"


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_that_write_at_once_each_is_whole(tmp_path, overwrite):
    path = tmp_path / "file"
    with single_files.written_whole(path, _ours, overwrite=overwrite) as one:
        one.write_bytes(b"ours, one")
        if not overwrite:
            _write(path, data=b"ours, other")
            break_off = pytest.raises(FileExistsError, match="exists already")
        else:
            _write(path, data=b"ours, other", overwrite=True)
            break_off = None
        if break_off:
            with break_off:
                single_files.check_free(path, _ours, overwrite=False)
            path.unlink()
    assert path.read_bytes() == b"ours, one"
    assert os.listdir(tmp_path) == ["file"]


def test_one_that_comes_at_the_last_moment_wins(tmp_path):
    (tmp_path / "partial").write_bytes(b"ours, late")
    (tmp_path / "file").write_bytes(b"ours, first")
    with pytest.raises(FileExistsError, match="exists already: another process wrote it meanwhile"):
        single_files._put(tmp_path / "partial", tmp_path / "file", overwrite=False)
    assert (tmp_path / "file").read_bytes() == b"ours, first"


@pytest.mark.parametrize("room", [single_files, directories])
def test_a_parent_that_is_a_file(room, tmp_path):
    (tmp_path / "notes").write_bytes(b"notes")
    message = r"notes/a/file cannot be written, for .*notes is a file; expected a directory\. Choose another place"
    kind = _ours if room is single_files else directories.Contents("marker.txt", ())
    with pytest.raises(FileExistsError, match=message):
        room.check_free(tmp_path / "notes" / "a" / "file", kind, overwrite=False)
    assert (tmp_path / "notes").read_bytes() == b"notes"
