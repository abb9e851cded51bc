"""What an export did: the report, and the same as export.json in the SavedModel.

report = ExportReport.read("yolov8n_saved_model")
report.parity, report.trained_size_hw, report.versions
"""

import dataclasses
import math
import os
import shutil
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import counted, quoted, sides
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.tasks.table import TASKS, in_words

_REMEDY = "copy the directory again, or export the checkpoint again"


def is_there(handle: SavedModelHandle) -> bool:
    """Whether a SavedModel holds the report of its export; those of older versions have none."""
    return os.path.lexists(handle.directory / contract.EXPORT_FILE)


def keep(source: SavedModelHandle, output_dir: Path) -> None:
    """Copies the report of an export, if it has one, into what was made of it.

    Args:
      source: The export; its files were compared with their SHA-256.
      output_dir: The directory of the conversion.
    """
    if is_there(source):
        shutil.copyfile(source.directory / contract.EXPORT_FILE, output_dir / contract.EXPORT_FILE)


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What an export did; also written as export.json into the SavedModel, with file names in place of paths.

    Attributes:
      saved_model_dir: The SavedModel.
      weights: The checkpoint.
      task: Ultralytics' name of the task.
      image_size_hw: Frame height and width in pixels.
      num_classes: Classes.
      num_parameters: Weights of the fused network.
      parity: The largest differences to PyTorch on the same frames, over every anchor: "boxes" in frame pixels,
        "scores", and what else the task has (see `Task.quantities`).
      size_bytes: Size of the directory.
      seconds: Wall time of the whole export.
      trained_size_hw: Height and width of the images that the network was trained at; None if the checkpoint does not
        say.
      size_note: Why that is not known, half a sentence; empty if it is, or if image_size was given.
      versions: Tool of the export chain to its version.
      trained_ranges: Convolutions that were trained with fake quantisation, whose ranges INT8 can take; 0 without.
      nms: The branch of the head that was exported, "one-to-many" or "one-to-one"; empty for a classifier, and for
        older versions' exports.
      branches: The branches that the checkpoint's head has; empty where nms is.
    """

    saved_model_dir: Path
    weights: str
    task: str
    image_size_hw: tuple[int, int]
    num_classes: int
    num_parameters: int
    parity: dict[str, float]
    size_bytes: int
    seconds: float
    trained_size_hw: tuple[int, int] | None = None
    size_note: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    trained_ranges: int = 0
    nms: str = ""
    branches: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuses what no export gives, for export.json may be a stranger's.

        Raises:
          ValueError: If the task is not known, the parity is not of its quantities, or the branch is none.
        """
        if self.task not in TASKS:
            raise ValueError(f"task is {quoted(self.task)}; known are {', '.join(TASKS)}")
        labels = [quantity.label for quantity in TASKS[self.task].quantities]
        if set(self.parity) != set(labels) or not all(0 <= value < math.inf for value in self.parity.values()):
            found = ", ".join(f"{quoted(label)}: {quoted(value)}" for label, value in list(self.parity.items())[:5])
            raise ValueError(f"parity is {found or 'nothing'}; expected a number from 0 for {', '.join(labels)}")
        known = contract.NMS_MODES[1:]
        is_one_of_them = self.nms in self.branches if self.branches else not self.nms
        if not is_one_of_them or not set(self.branches) <= set(known):
            found = f"nms is {quoted(self.nms)} of {quoted(self.branches)}"
            raise ValueError(f"{found}; expected one of {', '.join(known)} that is among the branches")

    @property
    def _trained(self) -> str:
        """The size that it was trained at, where it was exported at another."""
        if self.trained_size_hw in (None, self.image_size_hw):
            return ""
        return f"; trained at {sides(self.trained_size_hw)}"

    @property
    def parity_line(self) -> str:
        """The parity for a reader: "boxes within 0.00012 px, scores within 1.2e-07"."""
        quantities = TASKS[self.task].quantities
        return ", ".join(f"{one.label} within {one.format(self.parity[one.label])}" for one in quantities)

    @property
    def branch_line(self) -> str:
        """The branch for a reader, and which other there is; empty for a head that has one and is suppressed."""
        if self.branches in ((), (contract.ONE_TO_MANY,)):
            return ""
        how = "each object once" if self.nms == contract.ONE_TO_ONE else "suppressed"
        others = [name for name in self.branches if name != self.nms]
        return f"{self.nms}, {how}" + "".join(f"; the checkpoint has {name} too, nms={name}" for name in others)

    def write(self, saved_model_dir: Path) -> None:
        """Writes export.json into a directory; of paths it holds the last part, for models are passed on."""
        shared = dataclasses.replace(
            self, saved_model_dir=Path(self.saved_model_dir.name), weights=Path(self.weights).name
        )
        documents.write(shared, saved_model_dir / contract.EXPORT_FILE)

    @staticmethod
    def read(saved_model_dir: str | Path | SavedModelHandle) -> "ExportReport":
        """Reads export.json back.

        Args:
          saved_model_dir: A SavedModel that `export` wrote, or a conversion of it, which keeps its export's report.

        Returns:
          The report; its saved_model_dir is the directory that was named when it was exported.

        Raises:
          SavedModelError: If it is no SavedModel of ours, or its export.json is damaged, or missing as in those of
            older versions.
        """
        handle = open_saved_model(saved_model_dir)
        if not is_there(handle):
            raise SavedModelError(
                f"{handle.given} has no {contract.EXPORT_FILE}: an older version of tftrt_yolo exported it. Export the "
                "checkpoint again."
            )
        return documents.read(
            handle.directory / contract.EXPORT_FILE,
            contract.EXPORT_FILE,
            ExportReport,
            SavedModelError,
            origin="an export",
            remedy=_REMEDY,
        )

    def __str__(self) -> str:
        """The report for a reader."""
        height, width = self.image_size_hw
        lines = [
            f"Exported {self.weights} ({in_words(self.task, self.num_classes)}, "
            f"{counted(self.num_parameters, 'parameter')}) "
            f"at {width} x {height} px{self._trained}, dynamic batch, in {self.seconds:.1f} s",
            f"  SavedModel         {self.saved_model_dir} ({self.size_bytes / 1e6:.1f} MB)",
            f"  parity, PyTorch    {self.parity_line}",
        ]
        if self.trained_ranges:
            layers = counted(self.trained_ranges, "convolution")
            lines.append(f"  trained ranges     of {layers}, for INT8 with the calibration 'trained'")
        if self.branch_line:
            lines.insert(2, f"  branch             {self.branch_line}")
        if self.size_note:
            lines.insert(1, f"  image size         the task's own: {self.size_note}; for another, give image_size")
        return "\n".join(lines)
