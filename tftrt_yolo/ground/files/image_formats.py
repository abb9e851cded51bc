"""Which image files are read, by their first bytes and by their endings, and what is said of the others.

image_formats.of(data)                      # "JPEG", or an UnreadableError that names what it is instead
image_formats.left_out(Path("photos"))      # ("2 files .heic (a.heic, b.heic): ...",)
"""

import collections
import re
from pathlib import Path

import PIL.features
import PIL.Image

from tftrt_yolo.ground.files.reading import UnreadableError
from tftrt_yolo.ground.text import shown


def _reads_avif() -> bool:
    """Whether this Pillow was built with AVIF, which has been in its wheels since 11.3."""
    try:
        from PIL import AvifImagePlugin
    except ImportError:
        return False
    return AvifImagePlugin.SUPPORTED


READS_AVIF = _reads_avif()
# Pillow also reads formats that run other programs (EPS) or that nobody expects; files may come from strangers.
FORMATS = (
    *("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"),
    *(["AVIF"] if READS_AVIF else []),
    *(["JPEG2000"] if PIL.features.check("jpg_2000") else []),
)
# Of folders and data sets. Those of Ultralytics (ultralytics.data.utils.IMG_FORMATS) that are read here, and .gif.
SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}
    | ({".avif"} if READS_AVIF else set())
    | ({".jp2"} if "JPEG2000" in FORMATS else set())
)
# Of folders. Those of Ultralytics (ultralytics.data.utils.VID_FORMATS) but .gif, and their siblings.
VIDEO_SUFFIXES = frozenset(
    {".asf", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
    | {".3gp", ".flv", ".m2ts", ".mts", ".ogv"}
)

_CONVERT = "Save it as JPEG or PNG first"
_FRAMES = "Videos are read by predict and Predictor.stream; give the video itself as their source"
_AVIF = "This Pillow reads no AVIF; pip install 'pillow>=11.3'"
_HEIC = "Pillow does not read it; save it as JPEG first"
_RAW = "Develop it to JPEG, PNG or TIFF first"
# What begins a file (a pattern of bytes), what it is, and what to do.
_STRANGERS = tuple(
    (re.compile(pattern, re.DOTALL), what, remedy)
    for pattern, what, remedy in (
        (rb".{4}ftyp.{0,40}avi[fs]", "AVIF", _AVIF),
        (rb".{4}ftyp(hei|hev|mif1|msf1)", "HEIC", _HEIC),
        (rb".{4}ftypcrx", "a camera's raw file (CR3)", _RAW),
        (rb".{4}(ftyp|moov|mdat)", "a video (MP4 or MOV)", _FRAMES),
        (rb"RIFF.{4}AVI ", "a video (AVI)", _FRAMES),
        (rb"\x1a\x45\xdf\xa3", "a video (MKV or WebM)", _FRAMES),
        (rb"\0\0\x01[\xba\xb3]", "a video (MPEG)", _FRAMES),
        (rb"FLV\x01|\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a video (FLV or WMV)", _FRAMES),
        (rb"\x47.{187}\x47.{187}\x47", "a video (MPEG-TS)", _FRAMES),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000", "This Pillow reads none; save it as JPEG or PNG first"),
        (rb"\0\0\0\x0cJXL |\xff\x0a", "JPEG XL", _CONVERT),
        (rb"II\xbc\x01", "JPEG XR", _CONVERT),
        (rb"P[Ff][\r\n ]", "PFM, whose values have no known range", "Scale them to 0 to 255 and save 8 bits"),
        (rb"\x76\x2f\x31\x01", "OpenEXR, whose values have no known range", "Scale them to 0 to 255 and save 8 bits"),
        (
            rb"#\?RAD|#\?RGBE",
            "Radiance HDR, whose values have no known range",
            "Scale them to 0 to 255 and save 8 bits",
        ),
        (rb"FUJIFILMCCD-RAW|II(RO|RS|U\0)|FOVb|\0MRM", "a camera's raw file", _RAW),
        (rb"8BPS", "Photoshop's PSD", _CONVERT),
        (rb"\x00\x00\x01\x00[^\x00]\x00", "an icon (ICO)", _CONVERT),
        (rb"\x00\x00\x02\x00[^\x00]\x00[^\x00]", "a cursor (CUR)", _CONVERT),
        (rb"icns", "an icon (ICNS)", _CONVERT),
        (rb"P7[\s]", "PAM", _CONVERT),
        (rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]", "PCX", _CONVERT),
        (rb"/\* XPM", "XPM", _CONVERT),
        (rb"#define .{1,60}_width ", "XBM", _CONVERT),
        (rb"qoif", "QOI", _CONVERT),
        (rb"FLIF", "FLIF", _CONVERT),
        (rb"BPG\xfb", "BPG", _CONVERT),
        (rb"\x01\xda[\x00\x01][\x01\x02]", "SGI's format", _CONVERT),
        (rb"gimp xcf", "GIMP's XCF", _CONVERT),
        (rb"AT&TFORM", "DjVu", _CONVERT),
        (rb"[\x8a\x8b][MJ]NG\r\n", "MNG or JNG", _CONVERT),
        (rb"\x97JB2", "JBIG2", _CONVERT),
        (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "a drawing (WMF or EMF)", _CONVERT),
        (rb"\x59\xa6\x6a\x95", "a Sun raster", _CONVERT),
        (rb"DDS ", "a texture (DDS)", _CONVERT),
        (rb"SIMPLE  =", "FITS", _CONVERT),
        (rb".{128}DICM", "DICOM", _CONVERT),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript", _CONVERT),
        (rb"%PDF", "PDF", "Save its pages as images first"),
        (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?((<!--.*?-->|<!DOCTYPE svg[^>]*>)\s*)*<svg", "SVG", _CONVERT),
        (rb"\s*<(!doctype html|html|\?xml|!DOCTYPE)", "a web page or XML", "Download the picture itself"),
        (rb"version https://git-lfs", "a pointer of Git LFS", "Fetch what it stands for with git lfs pull"),
        (
            rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|.{257}ustar",
            "an archive",
            "Unpack it first",
        ),
        (rb"\x89HDF\r\n", "HDF5", "Read its arrays with h5py, and pass them"),
        (rb"\x93NUMPY", "an array of NumPy", "Load it and pass the array"),
        # Has no mark at its beginning; map, kind, an empty map's entry, place, size, depth and flags that there may be.
        (
            rb".(\0[\x02\x03\x0a\x0b]\0{5}|\x01[\x01\x09].{4}[\x0f\x10\x18\x20]).{8}[\x08\x0f\x10\x18\x20][\x00-\x3f]",
            "probably Targa (TGA)",
            _CONVERT,
        ),
    )
)
# Pillow's reader of PPM takes PFM, too, and that of AVIF takes HEIC.
_PLAIN, _AVIF_BRAND = re.compile(rb"P[1-6][\s#]"), re.compile(rb".{4}ftyp.{0,200}avi[fs]", re.DOTALL)
_ANYTHING = re.compile(b"")

# Endings that a folder's images go together with, of which nothing is said.
_COMPANIONS = frozenset(
    {"", ".cache", ".csv", ".db", ".html", ".ini", ".ipynb", ".json", ".jsonl", ".log", ".md", ".mat", ".npy", ".npz"}
    | {".pt", ".pdf", ".py", ".rst", ".sh", ".tar", ".gz", ".tsv", ".txt", ".xml", ".yaml", ".yml", ".zip"}
)
_RAW_SUFFIXES = {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw"}
_READ_BY_NAME = "not taken from folders; a glob or the file's own name takes it, if it is a picture that is read"
_REASONS = {
    **dict.fromkeys(_RAW_SUFFIXES, "a camera's raw file; develop it to JPEG, PNG or TIFF first"),
    **dict.fromkeys(VIDEO_SUFFIXES, "a video; predict and Predictor.stream take it"),
    **dict.fromkeys((".heic", ".heif"), "HEIC, which Pillow does not read; save it as JPEG first"),
    ".avif": "AVIF, which this Pillow does not read; pip install 'pillow>=11.3'",
    ".jp2": "JPEG 2000, which this Pillow does not read; save it as JPEG or PNG first",
}
_MOST_NAMES = 3


def of(data: bytes) -> str:
    """The format of an image file, by its first bytes.

    Args:
      data: The file, or its first 512 bytes.

    Returns:
      One of `FORMATS`: Pillow's name of it.

    Raises:
      UnreadableError: If it is none of them, with what to do: the rest of a sentence that begins with the file's name.
    """
    PIL.Image.init()
    start = data[:512]
    found = [known for known in FORMATS if _accepts(known, start)]
    if found:
        return found[0]
    for pattern, what, remedy in _STRANGERS:
        if pattern.match(start):
            raise UnreadableError(f"is {what}. Expected one of {', '.join(FORMATS)}. {remedy}.")
    raise UnreadableError(f"is no image: it starts with {start[:12]!r}. Expected one of {', '.join(FORMATS)}.")


def _accepts(known: str, start: bytes) -> bool:
    """Whether Pillow's reader takes it; a reader that lacks its library answers with a text."""
    answer = PIL.Image.OPEN[known][1](start[:16])
    if not answer or isinstance(answer, str):
        return False
    return {"PPM": _PLAIN, "AVIF": _AVIF_BRAND}.get(known, _ANYTHING).match(start) is not None


def is_video(data: bytes) -> bool:
    """Whether a file is a video, by its first bytes; many have none that tell.

    Args:
      data: The file, or its first 512 bytes.

    Returns:
      Whether it is a known one.
    """
    remedies = (remedy for pattern, _, remedy in _STRANGERS if pattern.match(data[:512]))
    return next(remedies, None) == _FRAMES


def left_out(folder: str | Path, *, is_deep: bool = False, takes_videos: bool = False) -> tuple[str, ...]:
    """The files of a folder that look like pictures or videos by their endings, and are not taken.

    Args:
      folder: A folder.
      is_deep: Whether those of its subfolders count, too.
      takes_videos: Whether videos are taken.

    Returns:
      A line for each ending: how many there are, the first three names, and why; none if `folder` is no folder.
    """
    folder, silent = Path(folder), SUFFIXES | _COMPANIONS | (VIDEO_SUFFIXES if takes_videos else set())
    if not folder.is_dir():
        return ()
    found = collections.defaultdict(list)
    for file in sorted(folder.rglob("*") if is_deep else folder.iterdir()):
        suffix = file.suffix.lower()
        if suffix not in silent and not file.name.startswith(".") and file.is_file():
            found[suffix].append(str(file.relative_to(folder)))
    return tuple(_line(suffix, names) for suffix, names in sorted(found.items()))


def _line(suffix: str, names: list[str]) -> str:
    """What is said of the files with one ending."""
    listed = ", ".join(shown(name, 60) for name in names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    count = f"{len(names):,} file{'s' if len(names) > 1 else ''}"
    return f"{count} {shown(suffix, 20)} ({listed}): {_REASONS.get(suffix, _READ_BY_NAME)}"
