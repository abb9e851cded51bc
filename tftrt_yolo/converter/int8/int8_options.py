"""What INT8 can be asked for.

    options = Int8Options(calibration_data="coco8.yaml", calibration="mse")
    options.check("tensorrt")
    options.quantization(folder)               # for the worker: the images are found, a data set's written as files

Every check refuses; none changes what was asked for.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from absl import logging

from tftrt_yolo.ground import environment
from tftrt_yolo.ground.arguments import Options, argument, check_at_least_one, check_share, setting
from tftrt_yolo.ground.errors import TensorRTUnavailableError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import counted, quoted

_COSTLIEST = 3  # layers of a sensitivity report that stay in float where no number is given


@dataclasses.dataclass(frozen=True, kw_only=True)
class Int8Options(Options):
    """What INT8 is calibrated with, and how accurate it must be.

    Attributes:
      calibration_data: For INT8, images like those that the model is to see: an image, a folder of images or of such
        folders, a glob, or a data.yaml (its train, or else val); of more than 500, 500 are taken. From Python also a
        tf.data.Dataset, of which the first 500 images are taken: its elements are images (H, W, 3), uint8 and RGB, or
        batches (B, H, W, 3); tuples whose first component is that; or dicts with "image" or "images".
      calibration: For INT8, how an activation's range is chosen: "max" (the largest value; what None means),
        "percentile" (99.99 % of the values) or "mse" (least squared error). "trained" takes the ranges of a network
        that was trained with fake quantisation, and needs no images: the report is of those of calibration_data, or of
        the packaged ones. "tensorrt" is TF-TRT's own calibrator, with no quantisation in the graph. These two are for
        tensorrt alone, the last where engines can be built, and never run so far.
      rounding: For INT8, how filters are rounded: "calibrated" (so that each convolution's output stays on the
        calibration images, with its mean error taken off; what None means) or "nearest" (each weight for itself, which
        saves a pass over the images). For tensorrt; onednn always takes the nearest, and "trained" the training's.
      calibration_cache_dir: For INT8, a folder that keeps what the images measured, under a key of the model's and the
        images' contents, so that converting again needs no calibration, with another method too; None for
        $XDG_CACHE_HOME/tftrt_yolo, or ~/.cache/tftrt_yolo. For tensorrt; onednn keeps nothing.
      evaluation_data: For INT8, labelled images as `evaluate` takes them, to measure FP32 and INT8 on. This and the
        next two are for `convert` alone.
      maximum_map_drop: For INT8, the most by which mAP50-95 (of a classifier top-1) may fall, between 0 and 1.
      maximum_score_shift: For INT8, the most by which the scores of matched detections (of a classifier the best
        probability) may shift on average, up or down, between 0 and 1: on the images of evaluation_data, or without on
        calibration images.
      float_layers: For INT8, convolutions that stay in float: names as `sensitivity` prints them, such as
        convolution_45; outputs of `network`, such as scores, for the convolutions that give them; or head for those
        that give any. TF-TRT builds no engine of both kinds, so for tensorrt the network is divided into engines that
        run one behind the other, in INT8 and FP16. With onednn they are FP32, as those that give outputs always are.
      sensitivity_report: For INT8, what `sensitivity` wrote of this model (the directory or its sensitivity.json): its
        costliest layers stay in float besides.
      costliest_layers: For INT8, how many of them; None for 3.
    """

    calibration_data: str | Path | Iterable | None = None
    calibration: str | None = None
    rounding: str | None = None
    calibration_cache_dir: str | Path | None = None
    evaluation_data: str | Path | None = None
    maximum_map_drop: float | None = None
    maximum_score_shift: float | None = None
    float_layers: tuple[str, ...] = ()
    sensitivity_report: str | Path | None = None
    costliest_layers: int | None = None

    def __post_init__(self):
        """Raises ValueError for names that are none; one name alone is taken as one."""
        names = (self.float_layers,) if isinstance(self.float_layers, str) else self.float_layers
        is_fine = isinstance(names, (tuple, list)) and all(isinstance(name, str) and name for name in names)
        if not is_fine:
            raise ValueError(
                f"{argument('float_layers')} is {quoted(self.float_layers)}; expected names of convolutions or of "
                "outputs, such as ('head',)."
            )
        object.__setattr__(self, "float_layers", tuple(names))  # the dataclass is frozen
        if self.costliest_layers is not None:
            object.__setattr__(self, "costliest_layers", check_at_least_one("costliest_layers", self.costliest_layers))

    def check(self, accelerator: str) -> None:
        """Checks all but the images.

        Args:
          accelerator: "tensorrt" or "onednn".

        Raises:
          ValueError: If one is out of its range or missing, or not for this accelerator.
          TypeError: If calibration_data is neither a path nor a data set.
          TensorRTUnavailableError: If TF-TRT is to calibrate, and engines cannot be built here.
          SensitivityError: If sensitivity_report cannot be read.
        """
        self._check_calibration(accelerator)
        if self.maximum_score_shift is not None:
            check_share("maximum_score_shift", self.maximum_score_shift)
        self._wanted_float_layers()  # `quantization` reads the report again: what is kept of it here might be old then
        drop, data = self.maximum_map_drop, self.evaluation_data
        if drop is not None:
            check_share("maximum_map_drop", drop)
            if data is None:
                raise ValueError(
                    f"{argument('maximum_map_drop')} needs {argument('evaluation_data')}: labelled images to measure "
                    "mAP on."
                )
        if data is not None and not Path(data).exists():
            raise ValueError(
                f"{argument('evaluation_data')} is {data}, which does not exist. Expected what `evaluate` takes as "
                "data."
            )

    def _check_calibration(self, accelerator: str) -> None:
        from tftrt_yolo.converter.int8 import calibration_dataset, calibration_images

        data, method = self.calibration_data, self.calibration
        if method == calibration_images.TRAINED:
            self._check_trained(accelerator)
            if data is None:
                return
        if data is None:
            raise ValueError(
                f"{argument('precision_mode')} is INT8, which needs {argument('calibration_data')}: images like those "
                "that the model is to see. Give a folder, a glob, a data.yaml or a tf.data.Dataset, 100 images or more."
            )
        if not isinstance(data, (str, Path)) and not calibration_dataset.is_dataset(data):
            raise TypeError(
                f"{argument('calibration_data')} is a {type(data).__name__}; expected a path, a glob or a "
                "tf.data.Dataset. Images in memory become one with tf.data.Dataset.from_tensor_slices."
            )
        if method is not None and method not in calibration_images.ALL_METHODS:
            raise ValueError(
                f"{argument('calibration')} is {method!r}; known are {', '.join(calibration_images.ALL_METHODS)}."
            )
        self._check_rounding(accelerator)
        if accelerator == "onednn" and "calibration_cache_dir" in self.given:
            raise ValueError(
                f"{argument('calibration_cache_dir')} is for tensorrt, and {argument('accelerator')} is 'onednn', for "
                "which the images are run each time. Leave it out."
            )
        if method == calibration_images.TENSORRT:
            self._check_tensorrt(accelerator)

    def _check_trained(self, accelerator: str) -> None:
        """Refuses the ranges of the training where they cannot be."""
        if accelerator != "tensorrt":
            raise ValueError(
                f"{argument('calibration')} is 'trained', whose ranges go into the graph for TensorRT, and "
                f"{argument('accelerator')} is {accelerator!r}. Leave it out, or choose max, percentile or mse."
            )
        if self.calibration_cache_dir is not None:
            raise ValueError(
                f"{argument('calibration_cache_dir')} keeps what images measured, and with "
                f"{setting('calibration', 'trained')} none are. Leave one of them out."
            )
        if self.rounding is not None:
            raise ValueError(
                f"{argument('rounding')} is {quoted(self.rounding)}, and with {setting('calibration', 'trained')} the "
                "training has chosen the filters' steps. Leave one of them out."
            )

    def _check_rounding(self, accelerator: str) -> None:
        """Refuses a rounding that is unknown, or that nothing would be rounded by."""
        from tftrt_yolo.converter.int8 import calibration_images

        if self.rounding is not None and self.rounding not in calibration_images.ROUNDINGS:
            raise ValueError(
                f"{argument('rounding')} is {quoted(self.rounding)}; known are "
                f"{', '.join(calibration_images.ROUNDINGS)}."
            )
        if accelerator != "tensorrt" and "rounding" in self.given:
            raise ValueError(
                f"{argument('rounding')} is for tensorrt, and {argument('accelerator')} is {accelerator!r}, whose "
                "filters are rounded to the nearest steps. Leave it out."
            )
        if self.rounding is not None and self.calibration == calibration_images.TENSORRT:
            raise ValueError(
                f"{argument('rounding')} is how filters in the graph are rounded, and with "
                f"{setting('calibration', 'tensorrt')} TensorRT quantises them. Leave one of them out."
            )

    def _check_tensorrt(self, accelerator: str) -> None:
        """Refuses TF-TRT's own calibrator where it cannot be."""
        if accelerator != "tensorrt":
            raise ValueError(
                f"{argument('calibration')} is 'tensorrt', which is TF-TRT's own calibrator, and "
                f"{argument('accelerator')} is {accelerator!r}. Leave it out, or choose max, percentile or mse."
            )
        if self.calibration_cache_dir is not None:
            raise ValueError(
                f"{argument('calibration_cache_dir')} keeps what we measure, and with "
                f"{setting('calibration', 'tensorrt')} TF-TRT measures. Leave one of them out."
            )
        if self.float_layers or self.sensitivity_report is not None:
            name = "float_layers" if self.float_layers else "sensitivity_report"
            raise ValueError(
                f"{argument(name)} names what stays in float, and with {setting('calibration', 'tensorrt')} TensorRT "
                "chooses that itself. Leave one of them out."
            )
        machine = environment.look()
        if not machine.can_build_engines:
            raise TensorRTUnavailableError(
                f"{argument('calibration')} is 'tensorrt', and TF-TRT's own calibrator runs while TensorRT builds the "
                f"engine. That cannot be done here: {machine.why_no_engines}. Leave it out: then the quantisations are "
                "in the graph, which works on any machine."
            )

    def _wanted_float_layers(self):
        """What is to stay in float, as a `float_layers.FloatLayers`; None if all is quantised.

        Raises:
          ValueError: If costliest_layers are asked for without a sensitivity report.
          SensitivityError: If the report cannot be read.
        """
        from tftrt_yolo.converter.int8.in_float.float_layers import FloatLayers
        from tftrt_yolo.converter.int8.in_float.sensitivity_report import SensitivityReport

        path = self.sensitivity_report
        if path is None and self.costliest_layers is not None:
            raise ValueError(
                f"{argument('costliest_layers')} needs {argument('sensitivity_report')}: what `sensitivity` wrote of "
                "this model."
            )
        if path is None:
            return FloatLayers(self.float_layers) if self.float_layers else None
        count = _COSTLIEST if self.costliest_layers is None else self.costliest_layers
        return FloatLayers(self.float_layers, SensitivityReport.read(path), str(path), count)

    def quantization(self, folder: Path):
        """Finds the images; to be called after `check`.

        Args:
          folder: A temporary folder, for the pictures of a data set.

        Returns:
          An `accuracy.Quantization` for the worker.

        Raises:
          ImageError: If there is no image.
          ValueError: If an element of a data set is no image.
          DatasetError: If a data.yaml is damaged or names what is not there.
        """
        from tftrt_yolo.converter.int8 import calibration_dataset, calibration_images
        from tftrt_yolo.converter.int8.accuracy import Quantization

        data = self.calibration_data
        method = self.calibration or calibration_images.DEFAULT_METHOD
        if calibration_dataset.is_dataset(data):
            pictures = folder / "calibration_images"
            calibration_dataset.write_pictures(data, pictures, most=calibration_images.MOST_IMAGES)
            data = pictures
        images = () if data is None else calibration_images.find_images(data)  # `check` says when there may be none
        if method != calibration_images.TRAINED and len(images) < calibration_images.FEW_IMAGES:
            found = counted(len(images), "calibration image is", "calibration images are")
            logging.warning("%s few for INT8; 100 or more give steadier ranges", found)
        cache_dir = self.calibration_cache_dir or directories.cache_dir()
        return Quantization(
            calibration_images.Calibration(
                images,
                method,
                None if cache_dir is None else str(Path(cache_dir).resolve()),
                self._wanted_float_layers(),
                self.rounding or calibration_images.DEFAULT_ROUNDING,
            ),
            # Links stay: beside a linked data.yaml lie the folders that it names.
            None if self.evaluation_data is None else str(Path(self.evaluation_data).absolute()),
            self.maximum_map_drop,
            self.maximum_score_shift,
        )
