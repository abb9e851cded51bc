"""Where `predict` writes, in which forms, and what is drawn."""

import dataclasses
import difflib
from pathlib import Path

from tftrt_yolo.ground.arguments import argument, check_bool, setting
from tftrt_yolo.ground.text import listed, quoted
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.table import TASKS

FORMS = ("txt", "csv", "coco", "crops", "masks", "maps")
_WITH_BOXES = tuple(task.name for task in TASKS.values() if task.finds_objects)
_TASKS_OF = {
    "txt": tuple(task.name for task in TASKS.values() if not task.gives_map),  # Ultralytics has none of these either
    "coco": _WITH_BOXES,
    "crops": _WITH_BOXES,
    "masks": ("segment",),
    "maps": tuple(task.name for task in TASKS.values() if task.gives_map),
}
_MEANT_WITH_FORM = {"save_confidence": "txt", "coco_annotations": "coco"}
_DRAWING = tuple(field.name for field in dataclasses.fields(DrawingOptions))


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputOptions(DrawingOptions):
    """Where `predict` writes, in which forms, and what is drawn on the pictures.

    Attributes:
      output_dir: Directory to write: a picture for each image, of its size, an H.264 mp4 for each video, and a line of
        JSON for each image or frame in detections.jsonl.
      save: Forms beside these, several with commas. txt: labels/NAME.txt in YOLO's text format, as Ultralytics'
        save_txt; csv: a row for each object in detections.csv; coco: coco_results.json as COCO's evaluation reads it,
        and coco_images.json with the images and categories; crops: crops/CLASS/NAME_N.jpg for each object; masks:
        masks/NAME_N.png, of segment alone; maps: maps/NAME.png, or .npy for depth, the value of
        each pixel, of tasks that give one.
      save_confidence: Whether the lines of txt end in the score, as with Ultralytics' save_conf.
      pictures: Whether annotated pictures and videos are written.
      coco_annotations: A COCO JSON with images and categories, whose ids coco_results.json has: of images by the names
        of their files, of classes by their names. None for ids of our own.
    """

    output_dir: str | Path
    save: tuple[str, ...] = ()
    save_confidence: bool = False
    pictures: bool = True
    coco_annotations: str | Path | None = None

    def __post_init__(self) -> None:
        """Refuses forms that there are not, and options that have no effect.

        Raises:
          ValueError: If save names another form, or an option is given without what it is for.
        """
        super().__post_init__()
        for name in ("save_confidence", "pictures"):
            object.__setattr__(self, name, check_bool(name, getattr(self, name)))
        object.__setattr__(self, "save", _checked_forms(self.save))
        for name, form in _MEANT_WITH_FORM.items():
            if getattr(self, name) and form not in self.save:
                raise ValueError(
                    f"{argument(name)} is for the form {form}, which is not written. Give {setting('save', form)} too, "
                    "or leave it out."
                )
        idle = [name for name in _DRAWING if name in self.given] if not self.pictures else []
        if idle:
            raise ValueError(
                f"{argument(idle[0])} is for pictures, and {setting('pictures', False)} writes none. Leave one of them "
                "out."
            )

    def check_task(self, task: str, given: str) -> None:
        """Refuses a form that a task does not have.

        Args:
          task: Ultralytics' name of the task.
          given: What the model is called, for the message.

        Raises:
          ValueError: If one is asked for.
        """
        for form in self.save:
            if task not in _TASKS_OF.get(form, (task,)):
                own = TASKS[task]
                others = "detections.jsonl, csv and maps say" if own.gives_map else "detections.jsonl, txt and csv say"
                raise ValueError(
                    f"{argument('save')} has {form}, which is for models for {listed(_TASKS_OF[form])}, and "
                    f"{given} is {own.kind}. Leave it out; {others} all that it finds."
                )

    @property
    def drawing(self) -> DrawingOptions:
        """What is drawn."""
        return DrawingOptions(**{name: getattr(self, name) for name in _DRAWING})


def _checked_forms(save: object) -> tuple[str, ...]:
    """The forms in our order, each once."""
    given = (save,) if isinstance(save, str) else save
    if not isinstance(given, (tuple, list, set, frozenset)):
        raise ValueError(f"{argument('save')} is {quoted(save)}; expected any of {', '.join(FORMS)}.")
    for form in given:
        if not isinstance(form, str) or form not in FORMS:
            close = difflib.get_close_matches(str(form).lower(), FORMS, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(
                f"{argument('save')} has {quoted(form)}; expected any of {', '.join(FORMS)}. Annotated pictures and "
                f"detections.jsonl are written without it.{meant}"
            )
    return tuple(form for form in FORMS if form in given)
