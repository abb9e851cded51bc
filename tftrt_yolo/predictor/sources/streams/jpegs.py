"""JPEGs out of a stream of bytes, whatever stands between them: an MJPEG stream, or several files on standard input.

for data in Jpegs(connection.read):
    image = read_image(data)
"""

import re
from collections.abc import Callable, Iterator

from tftrt_yolo.ground.files.reading import UnreadableError

START = b"\xff\xd8\xff"
_BARE_BYTES = 4  # of a beginning without anything behind it
_MOST_BYTES = 64 << 20  # of one JPEG, and of what stands between two
# A marker that ends the pixels of a scan: neither a stuffed byte, nor a restart, nor a filling byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_BEGIN, _END, _SCAN = 0xD8, 0xD9, 0xDA
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length


class Jpegs:
    """The JPEGs of a stream of bytes, each as soon as its last byte is there.

    The last may be cut short. An image within one, such as a preview in its EXIF, is not given.

    Attributes:
      says_its_end: Whether, after the last, there stands what ends a multipart answer.
    """

    def __init__(self, read: Callable[[], bytes]):
        """Reads nothing yet.

        Args:
          read: Gives the next bytes, as many as there are; none at the end.
        """
        self._read, self._data, self._is_over, self.says_its_end = read, bytearray(), False, False

    def __iter__(self) -> Iterator[bytes]:
        """Finds them.

        Raises:
          UnreadableError: If one of them, or what stands between two, has more than 64 MiB.
          Exception: What `read` raises, after the JPEGs before it.
        """
        while self._skip_to(START):
            num_bytes = self._jpeg_length()
            if num_bytes > _BARE_BYTES:
                yield bytes(self._data[:num_bytes])
            del self._data[:num_bytes]
        self.says_its_end = self._data.rstrip().endswith(b"--")

    def _has(self, num_bytes: int) -> bool:
        """Reads until there are so many bytes; false if they end before."""
        while len(self._data) < num_bytes:
            if len(self._data) > _MOST_BYTES:
                raise UnreadableError(f"holds no JPEG of at most {_MOST_BYTES:,} bytes")
            piece = b"" if self._is_over else self._read()
            self._is_over = not piece
            if self._is_over:
                return False
            self._data += piece
        return True

    def _skip_to(self, mark: bytes) -> bool:
        """Drops what stands before a mark; false, with all of it kept, if none comes."""
        place, looked = -1, 0
        while (place := self._data.find(mark, looked)) < 0:
            looked = max(0, len(self._data) - len(mark) + 1)
            if looked > _MOST_BYTES:
                raise UnreadableError(f"holds no JPEG within {_MOST_BYTES:,} bytes")
            if not self._has(len(self._data) + 1):
                return False
        del self._data[:place]
        return True

    def _jpeg_length(self) -> int:
        """Bytes of the JPEG that stands at the beginning; all that there are if its end does not come."""
        place = 2
        while self._has(place + 2):
            marker = self._data[place + 1]
            if self._data[place] != 0xFF or marker == 0xFF:
                place += 1  # filling bytes, or damage: on to the next marker
            elif marker == _END:
                return place + 2
            elif marker == _BEGIN:  # the next one, and this has no end
                return place
            elif marker in _ALONE:
                place += 2
            elif not self._has(place + 4):
                break
            else:
                place += 2 + max(2, int.from_bytes(self._data[place + 2 : place + 4], "big"))
                place = self._after_scan(place) if marker == _SCAN else place
        return len(self._data)

    def _after_scan(self, place: int) -> int:
        """Where the marker stands that ends a scan's pixels."""
        while (found := _MARKER.search(self._data, place)) is None:
            place = max(place, len(self._data) - 1)
            if not self._has(len(self._data) + 1):
                return len(self._data)
        return found.start()
