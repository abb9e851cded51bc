"""Which models and versions are told apart: as many as are served, and a few that were, so that nothing grows for ever.

versions = Versions(forget)
versions.add(state)
versions.labels_of("digits", "1")        # ("digits", "1"); of what is not known ("(unknown)", "")
"""

from collections.abc import Callable

from tftrt_yolo.serving.scheduling.inference import ModelState

UNKNOWN = "(unknown)"  # of models; no directory that we serve is called so
_MOST = 16  # versions of a model that are remembered


class Versions:
    """The versions that were seen, of each model the last ones."""

    def __init__(self, forget: Callable[[str, int], None]):
        """Knows none yet.

        Args:
          forget: Is called with the name and the version of each that is remembered no longer.
        """
        self._forget = forget
        self._ready = {}  # name to version to whether it is in use

    def add(self, state: ModelState) -> None:
        """A version that has another state than before."""
        versions = self._ready.setdefault(state.name, {})
        versions[state.version] = state.state != "UNAVAILABLE"
        gone = [version for version, is_used in sorted(versions.items()) if not is_used]
        for version in gone[: max(0, len(versions) - _MOST)]:
            del versions[version]
            self._forget(state.name, version)

    def labels_of(self, model: str, version: str) -> tuple[str, str]:
        """The labels of a request: its model and version, as far as they are known.

        Args:
          model: As a request names it.
          version: As text; anything.

        Returns:
          The same, but `UNKNOWN` for a model and "" for a version that are none; "" of a request of no model.
        """
        versions = self._ready.get(model)
        if versions is None:
            return (UNKNOWN if model else ""), ""
        is_known = version.isdecimal() and version.isascii() and len(version) < 20 and int(version) in versions
        return model, str(int(version)) if is_known else ""
