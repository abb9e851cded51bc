"""maps/NAME.png or .npy: the value of each pixel of an image, as the task encodes it."""

from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.output.forms.shot import Shot
from tftrt_yolo.predictor.output.names import free_path

_FOLDER = "maps"


class MapFiles:
    """Writes a file of the image's size for each image."""

    def __init__(self, scene: Scene):
        """Makes the folder.

        Args:
          scene: What the run is of; its task gives a map.
        """
        self._task, self._folder = scene.task, scene.folder / _FOLDER
        self._folder.mkdir()

    def add(self, shot: Shot) -> dict[str, object]:
        """Writes the map of an image; gives the name of the file, as "maps"."""
        path = free_path(self._folder, shot.name, self._task.map_ending)
        path.write_bytes(self._task.encode_map(shot.result))
        return {_FOLDER: f"{_FOLDER}/{path.name}"}

    def close(self) -> None:
        """Does nothing: each file is complete."""

    def notes(self) -> list[str]:
        """Nothing."""
        return []
