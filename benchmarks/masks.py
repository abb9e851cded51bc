"""What the masks of signature `encoded` cost, and how large they are: processor time of the ops that make them.

python benchmarks/masks.py        # prints lines of benchmarks/encoded.md

Frames of 640 x 640 pixels, 300 rows, boxes of one size anywhere in the image. The prototypes are smooth and of random
weights, so each mask is a few blobs: harder to compress than most objects.
"""

import sys
import time

import cv2
import numpy as np
import tensorflow as tf

from tftrt_yolo.graph.encoded import masks

FRAME_HW = (640, 640)
PHOTO_HW = (3_000, 4_000)
CASES = [  # detections, side of their boxes in pixels of the image, the image
    (0, 100, FRAME_HW),
    (20, 100, FRAME_HW),
    (20, 250, FRAME_HW),
    (300, 60, FRAME_HW),
    (300, 100, FRAME_HW),
    (300, 640, FRAME_HW),
    (20, 600, PHOTO_HW),
    (20, 2_000, PHOTO_HW),
]


def measure(num_detections: int, side: int, image_hw: tuple[int, int], *, repeats: int = 5) -> str:
    """A line: the least processor time of a call in milliseconds, and how many bytes the PNG files have."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1, (1, 300, 2)) * (np.array(image_hw[::-1]) - side)
    coarse = np.abs(rng.normal(0, 1, (20, 20, 32))).astype(np.float32) - 0.3
    outputs = {
        "num_detections": tf.constant([num_detections]),
        "boxes": tf.constant(np.concatenate([corners, corners + side], -1), tf.float32),
        "mask_coefficients": tf.constant(np.abs(rng.normal(0, 1, (1, 300, 32))), tf.float32),
        "prototypes": tf.constant(cv2.resize(coarse, (160, 160))[np.newaxis]),
    }
    pack = tf.function(lambda *arguments: masks.pack(*arguments, FRAME_HW), autograph=False)
    sizes = tf.constant([image_hw])
    num_bytes = sum(map(len, pack(outputs, sizes)[0].numpy().ravel()))
    times = []
    for _ in range(repeats):
        start = time.process_time()
        pack(outputs, sizes)[0].numpy()
        times.append(1e3 * (time.process_time() - start))
    height, width = image_hw
    return f"| {width} x {height} | {num_detections} | {side} | {min(times):.1f} | {num_bytes:,} |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{measure(*case)}\n" for case in CASES)
