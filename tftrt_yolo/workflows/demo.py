"""The three stages on a packaged model and photo.

report = tftrt_yolo.demo("demo")
print(report)
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.converter.convert import convert
from tftrt_yolo.exporter.export import export
from tftrt_yolo.ground.assets import PHOTO, WEIGHTS
from tftrt_yolo.ground.files import directories
from tftrt_yolo.predictor.output.contents import CONTENTS
from tftrt_yolo.predictor.predict import predict


@dataclasses.dataclass(frozen=True)
class DemoStage:
    """One stage of the demo.

    Attributes:
      name: Export, convert or predict.
      command: The same as a command.
      seconds: Wall time.
      outcome: What it did.
    """

    name: str
    command: str
    seconds: float
    outcome: str

    def __str__(self) -> str:
        """The stage for a reader."""
        return f"{self.name} ({self.seconds:.1f} s)\n  $ {self.command}\n" + "\n".join(
            f"  {line}" for line in self.outcome.splitlines()
        )


@dataclasses.dataclass(frozen=True)
class DemoReport:
    """What the demo did.

    Attributes:
      stages: The three stages.
      picture: The annotated photo.
    """

    stages: tuple[DemoStage, ...]
    picture: Path

    def __str__(self) -> str:
        """The report for a reader."""
        return "\n\n".join([*map(str, self.stages), f"The picture: {self.picture}"])


def demo(
    output_dir: str | Path = "runs/demo",
    *,
    overwrite: bool = False,
    on_stage: Callable[[str], None] | None = None,
) -> DemoReport:
    """Exports a packaged model of handwritten digits, converts it and detects the digits of a packaged photo.

    Args:
      output_dir: Directory for the two SavedModels and the picture.
      overwrite: Replace what an earlier demo wrote there.
      on_stage: Called with a stage's name before it starts.

    Returns:
      What each stage did, in how many seconds, and where the picture is.

    Raises:
      FileExistsError: If one of the outputs exists and overwrite is false, or one holds what the demo did not write;
        before anything is done.
    """
    output_dir = Path(output_dir)
    exported = output_dir / "yolov8n-digits_saved_model"
    converted = output_dir / "yolov8n-digits_tensorrt_saved_model"
    pictures = output_dir / "pictures"
    for path, contents in ((exported, contract.SAVED_MODEL), (converted, contract.SAVED_MODEL), (pictures, CONTENTS)):
        directories.check_free(path, contents, overwrite=overwrite)

    def run() -> Iterator[DemoStage]:
        for name, command, stage in (
            (
                "Export",
                f"tftrt-yolo export --weights={WEIGHTS} --saved_model_dir={exported}",
                lambda: export(WEIGHTS, exported, overwrite=overwrite),
            ),
            (
                "Convert",
                f"tftrt-yolo convert --saved_model_dir={exported} --output_saved_model_dir={converted}",
                lambda: convert(exported, converted, overwrite=overwrite),
            ),
            (
                "Predict",
                f"tftrt-yolo predict --saved_model_dir={converted} --source={PHOTO} --output_dir={pictures}",
                lambda: predict(converted, PHOTO, pictures, overwrite=overwrite),
            ),
        ):
            if on_stage:
                on_stage(name)
            start = time.perf_counter()
            outcome = str(stage())
            yield DemoStage(name, command, time.perf_counter() - start, outcome)

    return DemoReport(tuple(run()), pictures / PHOTO.name)
