"""Whether there is a page, and how much of a video it annotates.

options = PageOptions(page=True, page_frames=600)
"""

import dataclasses

from tftrt_yolo.ground.arguments import Options, check_at_least_one, check_bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageOptions(Options):
    """A page to try the models on, in a browser.

    Attributes:
      page: Whether to serve it, at /page of the HTTP port. It needs the extra demo.
      page_frames: Frames of a video that the page annotates at most, from its beginning; a minute has 1,800 at 30 a
        second.
    """

    page: bool = False
    page_frames: int = 1_800

    def __post_init__(self):
        """Raises ValueError for a value of another kind."""
        check_bool("page", self.page)
        object.__setattr__(self, "page_frames", check_at_least_one("page_frames", self.page_frames))  # it is frozen
