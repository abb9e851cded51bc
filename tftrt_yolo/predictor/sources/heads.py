"""What a file is, by its first bytes; by its name where they do not tell.

heads.is_video(Path("clip.mp4"))
"""

from pathlib import Path, PurePath

from tftrt_yolo.ground.files import image_formats, reading

_START_BYTES = 512
_ANY_SIZE = 1 << 62
# To be told that there is no video in them.
_SOUND_SUFFIXES = frozenset({".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".wma"})


def is_video(path: Path, *, trusts_name: bool = True) -> bool:
    """Whether a file is to be read as a video.

    Args:
      path: The file.
      trusts_name: Whether its ending counts where its first bytes do not tell.

    Returns:
      Whether it is none that is read as an image.
    """
    start = _start_of(path)
    if begins_image(start):
        return False
    return image_formats.is_video(start) or (trusts_name and is_called_video(path))


def is_image(path: Path) -> bool:
    """Whether a file is an image that is read, whatever its name."""
    return begins_image(_start_of(path))


def begins_image(start: bytes) -> bool:
    """Whether the first bytes of a file are those of an image that is read."""
    try:
        image_formats.of(start)
    except ValueError:
        return False
    return True


def is_called_video(path: str | PurePath) -> bool:
    """Whether a name ends as those of videos do, or of sound."""
    return PurePath(path).suffix.lower() in image_formats.VIDEO_SUFFIXES | _SOUND_SUFFIXES


def _start_of(path: Path) -> bytes:
    """The first bytes of a file; none of one that cannot be read, which is told when it is."""
    try:
        with reading.opened(path, _ANY_SIZE) as file:
            return file.read(_START_BYTES)
    except (OSError, ValueError):
        return b""
