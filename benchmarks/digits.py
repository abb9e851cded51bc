"""Makes labelled pictures of digits for all tasks: as many as are wanted, the same ones each time.

    pip install scikit-learn scikit-image                                  # real digits, and photos behind them
    python benchmarks/digits.py /tmp/digits260 --count=260                 # unseen: to evaluate on
    python benchmarks/digits.py /tmp/digits100 --count=100 --split=calibration
    python benchmarks/digits.py /tmp/digits6000 --count=6000 --split=training

Real handwritten digits (the 8 x 8 scans of scikit-learn's `load_digits`, UCI Optical Recognition of Handwritten Digits,
CC BY 4.0), scaled, turned and coloured, on crops of the sample photos that come with scikit-image (public domain or
CC0) and scikit-learn (china.jpg and flower.jpg, CC BY 2.0), as tests/data's pictures are. How the splits are kept
apart: a scan's place in the data set says which split it is in, for every count and seed, so that who trained on
`training` has seen no scan of `calibration` and `evaluation`. The data set does not say who wrote what. The photos are
the same in all splits; their crops differ.

What it writes into the folder:

    images/000000.jpg ...                               the pictures
    {detect,segment,pose,obb}/{data.yaml,images,labels} what is on them, in YOLO's format; images is a link
    semantic/{data.yaml,images,masks}                   the class of each pixel, 10 beside the digits, as PNG
    classify/<digit>/000000_0.jpg ...                   a crop a digit, with a margin
    depth/{data.yaml,000000.png ...}                    how far each pixel is, in millimetres

A digit's outline is that of its blurred scan at half height. Key points are its topmost point, its centroid and its
lowest point; its oriented box is tight in the digit's own upright position and turned with it.

For depth each digit is taken for a card of one and the same height, upright before the camera: what is drawn half as
high is twice as far, and what its outline encloses with it. Behind all of them stands a wall that leans back. Nothing
else in a picture tells a distance.
"""

import argparse
import concurrent.futures
import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np

TASKS = ("detect", "segment", "pose", "obb")
# The tenth parts of the data set that a split draws its scans from.
SPLITS = {"training": range(7), "calibration": range(7, 8), "evaluation": range(8, 10)}
PARTS = 10
SIDE = (400, 720)  # of a picture, in pixels
HEIGHT = (27, 220)  # of an upright digit, in pixels
MOST_DIGITS = 10
MOST_DEGREES = 35.0
HALF = 8.0  # of a scan's largest value
FINER = 16  # as a scan is drawn, before it is turned
FEWEST_PIXELS = 20  # of a digit
PHOTOS = (
    *("astronaut", "brick", "camera", "coffee", "coins", "colorwheel", "grass", "gravel", "hubble_deep_field", "moon"),
    *("page", "retina", "rocket", "text"),
)
BACKGROUND = 10  # the class of pixels beside the digits
EXTRA = {"pose": "kpt_shape: [3, 3]\nflip_idx: [0, 1, 2]\n"}
CARD = 0.2  # metres; a card as high as the picture would be so far away
WALL = (10.0, 6.0)  # metres, of a picture's first row and of its last one
MILLIMETRES = 1_000
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)
MARGIN = 0.15  # of a crop, as a share of the longer side
LEAST_SHARE = 100  # pictures that a process more is worth


@dataclasses.dataclass(frozen=True)
class Digit:
    """A digit on a picture.

    Attributes:
      digit: Which, 0 to 9.
      outline: (N, 2) float64, x and y of its outline in pixels of the picture.
      box: Left, top, right and bottom, the last two exclusive.
      points: (3, 2) float64: topmost point, centroid, lowest point.
      corners: (4, 2) float64 of its oriented box.
      mask: (height, width) uint8 of the picture, 1 where it is.
    """

    digit: int
    outline: np.ndarray
    box: tuple[int, int, int, int]
    points: np.ndarray
    corners: np.ndarray
    mask: np.ndarray

    def label(self, task: str, size_wh: np.ndarray) -> str:
        """Its line of a label file.

        Args:
          task: One of TASKS.
          size_wh: Width and height of the picture.
        """
        left, top, right, bottom = self.box
        box = np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]) / np.tile(size_wh, 2)
        if task == "detect":
            numbers = [f"{number:.6f}" for number in box]
        elif task == "pose":
            points = (f"{x:.6f} {y:.6f} 2" for x, y in self.points / size_wh)
            numbers = [*(f"{number:.6f}" for number in box), *points]
        else:
            places = self.outline if task == "segment" else self.corners
            numbers = [f"{number:.6f}" for number in np.clip(places / size_wh, 0, 1).ravel()]
        return " ".join([str(self.digit), *numbers])


def read_scans(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The scans of a split, (N, 8, 8) float64 from 0 to 16, and what they are, (N,)."""
    from sklearn.datasets import load_digits

    scans, digits = load_digits(return_X_y=True)
    parts = np.arange(len(scans)) * PARTS // len(scans)
    chosen = np.isin(parts, SPLITS[split])
    return scans[chosen].reshape(-1, 8, 8), digits[chosen]


def read_photos() -> list[np.ndarray]:
    """The photos, (height, width, 3) uint8, RGB."""
    import skimage.data
    from sklearn.datasets import load_sample_images

    photos = [np.asarray(getattr(skimage.data, name)()) for name in PHOTOS]
    photos = [np.dstack([photo] * 3) if photo.ndim == 2 else photo[..., :3] for photo in photos]
    return [*photos, *load_sample_images().images]


def crop(photo: np.ndarray, size_wh: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of a photo, scaled to a size.

    Args:
      photo: (height, width, 3) uint8.
      size_wh: Width and height of the result in pixels.
      rng: Says which part.

    Returns:
      (height, width, 3) uint8.
    """
    whole_wh = np.array(photo.shape[1::-1])
    taken_wh = np.floor(size_wh * (whole_wh / size_wh).min() * rng.uniform(0.5, 1.0)).astype(int)
    left, top = rng.integers(0, whole_wh - taken_wh + 1)
    part = photo[top : top + taken_wh[1], left : left + taken_wh[0]]
    return cv2.resize(part, tuple(map(int, size_wh)), interpolation=cv2.INTER_LINEAR)


def outline_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """What of a drawn scan is the digit: its largest piece.

    Args:
      values: (height, width), from 0 to 16.

    Returns:
      (N, 2) int32, x and y of its outline, and (height, width) uint8, 1 where it is; None if there is nothing.
    """
    mask = (values >= HALF).astype(np.uint8)
    outlines = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not outlines:
        return None
    outline = max(outlines, key=cv2.contourArea)[:, 0]
    return outline, cv2.drawContours(np.zeros_like(mask), [outline], -1, 1, cv2.FILLED) & mask


def describe(digit: int, outline: np.ndarray, mask: np.ndarray, rotation: np.ndarray) -> Digit:
    """Measures a digit on a picture.

    Args:
      digit: Which it is.
      outline: From `outline_of`.
      mask: The same.
      rotation: (2, 2), by which it was turned.
    """
    ys, xs = np.nonzero(mask)
    upright = np.column_stack([xs, ys]) @ rotation
    low, high = upright.min(axis=0), upright.max(axis=0)
    top, bottom = ((xs[ys == y].mean(), y) for y in (ys.min(), ys.max()))
    return Digit(
        digit,
        outline.astype(np.float64),
        tuple(map(int, (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))),
        np.array([top, (xs.mean(), ys.mean()), bottom]),
        np.array([low, (high[0], low[1]), high, (low[0], high[1])]) @ rotation.T,
        mask,
    )


def draw(picture: np.ndarray, scan: np.ndarray, digit: int, taken: np.ndarray, rng: np.random.Generator):
    """Puts a digit onto a picture, in place.

    Args:
      picture: (height, width, 3) uint8.
      scan: (8, 8), from 0 to 16.
      digit: What it shows.
      taken: (height, width) bool, where others are; in place, too.
      rng: Says where, how large, how far turned and in which colour.

    Returns:
      The Digit; None if it would have reached beyond the picture, or over another.
    """
    height = float(np.exp(rng.uniform(*np.log(HEIGHT))))
    angle, size_wh = np.radians(rng.uniform(-MOST_DEGREES, MOST_DEGREES)), np.array(picture.shape[1::-1])
    center, color = rng.uniform(0, 1, 2) * size_wh, rng.integers(0, 256, 3)
    rows, columns = (np.flatnonzero((scan >= HALF).any(axis=axis)) for axis in (1, 0))
    tight = scan[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    fine = cv2.resize(
        tight, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_CUBIC
    )  # the scan's edge cuts strokes off
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = height / len(fine) * rotation
    transform = np.column_stack([turn, center - turn @ (np.array(fine.shape[::-1]) - 1) / 2])
    values = cv2.warpAffine(fine, transform, tuple(map(int, size_wh)))
    found = outline_of(values)
    if found is None or found[1].sum() < FEWEST_PIXELS:
        return None
    drawn = describe(digit, *found, rotation)
    left, top, right, bottom = drawn.box
    is_inside = min(left, top) > 0 and right < size_wh[0] and bottom < size_wh[1]
    if not is_inside or taken[top:bottom, left:right].any():
        return None
    taken[top:bottom, left:right] = True
    near = cv2.dilate(found[1], np.ones((5, 5), np.uint8))  # its soft edge, and no loose pieces
    alpha = near * np.clip((values - HALF / 2) / HALF, 0, 1)
    picture[:] = np.round(picture + alpha[..., np.newaxis] * (color - picture.astype(np.float64)))
    return drawn


def depth_of(size_hw: tuple[int, int], found: list[Digit]) -> np.ndarray:
    """How far the pixels of a picture are.

    Args:
      size_hw: Height and width of the picture.
      found: The digits on it.

    Returns:
      (height, width) float64, metres.
    """
    depth = np.repeat(np.linspace(*WALL, size_hw[0])[:, np.newaxis], size_hw[1], axis=1)
    for digit in found:
        height = np.linalg.norm(digit.corners[3] - digit.corners[0]) + 1
        cv2.fillPoly(depth, [digit.outline.astype(np.int32)], CARD * size_hw[0] / height)
    return depth


def make(photos: list[np.ndarray], scans: np.ndarray, digits: np.ndarray, rng: np.random.Generator):
    """A picture.

    Args:
      photos: What is behind.
      scans: (N, 8, 8), of which it takes one to ten.
      digits: (N,), what they are.
      rng: Decides everything.

    Returns:
      (height, width, 3) uint8, RGB, and its Digits.
    """
    size_wh = rng.integers(SIDE[0], SIDE[1] + 1, 2)
    picture = crop(photos[rng.integers(len(photos))], size_wh, rng)
    taken, found, wanted = np.zeros(picture.shape[:2], bool), [], rng.integers(1, MOST_DIGITS + 1)
    while len(found) < wanted:
        chosen = int(rng.integers(len(scans)))
        drawn = draw(picture, scans[chosen], int(digits[chosen]), taken, rng)
        found += [drawn] if drawn else []
    return picture, found


def generate(folder: Path, *, count: int, split: str = "evaluation", seed: int = 0) -> None:
    """Writes pictures and what is on them.

    Args:
      folder: A folder to make.
      count: How many pictures.
      split: One of SPLITS.
      seed: Other pictures of the same scans.

    Raises:
      FileExistsError: If the folder exists.
    """
    folder.mkdir(parents=True)
    (folder / "images").mkdir()
    names = ", ".join(f'"{digit}"' for digit in range(10))
    for task in TASKS:
        (folder / task / "labels").mkdir(parents=True)
        (folder / task / "images").symlink_to(Path("..", "images"))
        description = f"path: .\ntrain: images\nval: images\nnames: [{names}]\n{EXTRA.get(task, '')}"
        (folder / task / "data.yaml").write_text(description, encoding="utf-8")
    (folder / "semantic" / "masks").mkdir(parents=True)
    (folder / "semantic" / "images").symlink_to(Path("..", "images"))
    description = f'path: .\ntrain: images\nval: images\nmasks_dir: masks\nnames: [{names}, "background"]\n'
    (folder / "semantic" / "data.yaml").write_text(description, encoding="utf-8")
    (folder / "depth").mkdir()
    description = f"path: ..\ntrain: images\nval: images\nnames: [depth]\ndepth_scale: {MILLIMETRES}\n"
    (folder / "depth" / "data.yaml").write_text(description, encoding="utf-8")
    for digit in range(10):
        (folder / "classify" / str(digit)).mkdir(parents=True)
    workers = min(len(os.sched_getaffinity(0)), -(-count // LEAST_SHARE))
    if workers == 1:
        _generate(folder, range(count), split, seed)
        return
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        shares = [range(first, count, workers) for first in range(workers)]
        list(pool.map(_generate, *zip(*((folder, share, split, seed) for share in shares), strict=True)))


def _generate(folder: Path, indices: range, split: str, seed: int) -> None:
    """Writes some of the pictures; each has random numbers of its own."""
    photos, (scans, digits) = read_photos(), read_scans(split)
    for index in indices:
        rng = np.random.default_rng([seed, list(SPLITS).index(split), index])
        picture, found = make(photos, scans, digits, rng)
        _write_all(folder, f"{index:06}", picture, found)


def _write_all(folder: Path, name: str, picture: np.ndarray, found: list[Digit]) -> None:
    """Writes a picture, its labels and its crops."""
    size_wh = np.array(picture.shape[1::-1])
    _write(folder / "images" / f"{name}.jpg", picture[..., ::-1], *JPEG)
    depth = np.round(depth_of(picture.shape[:2], found) * MILLIMETRES)
    _write(folder / "depth" / f"{name}.png", depth.astype(np.uint16))
    for task in TASKS:
        lines = [f"{digit.label(task, size_wh)}\n" for digit in found]
        (folder / task / "labels" / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    classes = np.full(picture.shape[:2], BACKGROUND, np.uint8)
    for digit in found:
        classes[digit.mask > 0] = digit.digit
    _write(folder / "semantic" / "masks" / f"{name}.png", classes)
    for index, digit in enumerate(found):
        left, top, right, bottom = digit.box
        margin = int(MARGIN * max(right - left, bottom - top))
        part = picture[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
        _write(folder / "classify" / str(digit.digit) / f"{name}_{index}.jpg", part[..., ::-1], *JPEG)


def _write(path: Path, picture: np.ndarray, *settings: int) -> None:
    if not cv2.imwrite(str(path), picture, settings):
        raise SystemExit(f"{path} cannot be written. Is there room on the disk?")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder to make")
    parser.add_argument("--count", type=int, default=260, help="how many pictures")
    parser.add_argument("--split", choices=SPLITS, default="evaluation", help="whose scans")
    parser.add_argument("--seed", type=int, default=0, help="other pictures of the same scans")
    asked = parser.parse_args()
    if asked.count < 1:
        parser.error(f"--count is {asked.count}; expected 1 or more")
    if asked.folder.exists():
        parser.error(f"{asked.folder} is there already; choose another folder, or remove it")
    generate(asked.folder, count=asked.count, split=asked.split, seed=asked.seed)


if __name__ == "__main__":
    main()
