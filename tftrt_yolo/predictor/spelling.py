"""What was perhaps meant by a name that nobody knows: one of Ultralytics', or one spelled alike.

meant("conf", ["score_threshold"])      # " Ultralytics' conf is score_threshold here."
meant("clases", ["classes"])            # " Did you mean classes?"
check_known(options, ["classes"], "predict() got")    # TypeError: predict() got 'clases'. Did you mean ...
"""

import difflib
from collections.abc import Iterable

from tftrt_yolo.ground.text import quoted

# What Ultralytics' users type, and what it is called here; a command's own flags alone are named. Source: Ultralytics'
# cfg/default.yaml, and YOLOv5's detect.py and export.py.
_OF_ULTRALYTICS = {
    "model": ("weights", "saved_model_dir"),
    "weights": ("saved_model_dir",),
    "conf": ("score_threshold",),
    "conf_thres": ("score_threshold",),
    "iou": ("iou_threshold",),
    "iou_thres": ("iou_threshold",),
    "max_det": ("max_detections",),
    "agnostic_nms": ("class_agnostic",),
    "end2end": ("nms",),
    "imgsz": ("image_size",),
    "img": ("image_size",),
    "img_size": ("image_size",),
    "data": ("calibration_data",),
    "batch": ("batch_size", "batch_sizes"),
    "half": ("precision_mode",),
    "int8": ("precision_mode",),
    "quantize": ("precision_mode",),
    "format": ("accelerator",),
    "device": ("devices",),
    "workspace": ("max_workspace_size_bytes",),
    "exist_ok": ("overwrite",),
    "save_conf": ("save_confidence",),
    "show_conf": ("show_confidence",),
    "line_thickness": ("line_width",),
    **dict.fromkeys(("save_txt", "save_crop", "save_csv", "save_json"), ("save",)),
    "nosave": ("pictures",),
    "hide_labels": ("show_labels",),
    "hide_conf": ("show_confidence",),
    **dict.fromkeys(("save_dir", "project", "name"), ("output_dir", "output_saved_model_dir", "saved_model_dir")),
}
OTHER_VALUES = (  # whose values are not those of our flags
    *("half", "int8", "quantize", "format", "workspace", "end2end"),
    *("save_txt", "save_crop", "save_csv", "save_json", "nosave", "hide_labels", "hide_conf"),
)
_NOTHING_HERE = ("train",)  # Ultralytics' words for what we do not do, whatever is spelt like them: triton


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggests what is spelled alike.

    Args:
      name: What is not known.
      known: What is.

    Returns:
      A sentence with a blank before it; empty if nothing is close.
    """
    close = [] if name in _NOTHING_HERE else difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def of_ultralytics(name: str, known: Iterable[str]) -> str | None:
    """Our name for a word of Ultralytics'.

    Args:
      name: The word, without dashes before it.
      known: Our names that are meant, such as a command's flags.

    Returns:
      Our name; None if the word is not Ultralytics', or none of the known names is its.
    """
    known = set(known)
    return next((ours for ours in _OF_ULTRALYTICS.get(name.replace("-", "_"), ()) if ours in known), None)


def meant(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Says which name was perhaps meant: by Ultralytics' name, or spelled alike.

    Args:
      name: What is not known.
      known: What is.
      prefix: What stands before them where they are given, "--" of flags.

    Returns:
      A sentence with a blank before it; empty if there is none.
    """
    known = list(known)
    ours = of_ultralytics(name, known)
    if ours:
        return f" Ultralytics' {name} is {prefix}{ours} here."
    return did_you_mean(f"{prefix}{name}", [f"{prefix}{one}" for one in known])


def check_known(given: Iterable[object], known: Iterable[str], begin: str) -> None:
    """Refuses names that nobody knows.

    Args:
      given: Names, whatever they are.
      known: Those that there are.
      begin: How the message begins; the name follows.

    Raises:
      TypeError: If one is unknown; the message has the one that was perhaps meant, and all that are known.
    """
    known = list(known)
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        raise TypeError(f"{begin} {quoted(unknown)}.{meant(str(unknown), known)} Expected one of {', '.join(known)}.")
