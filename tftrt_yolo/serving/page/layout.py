"""The page itself, in Gradio's components: what is where, and what happens on a drop, a click or a slider's move.

blocks = layout.blocks(trying, asker)
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import gradio as gr

from tftrt_yolo.selection import Selection
from tftrt_yolo.serving.page import looks, words
from tftrt_yolo.serving.page.asking import Asker
from tftrt_yolo.serving.page.trying import Choice, Shown, Trying
from tftrt_yolo.serving.scheduling.refusals import RefusedError

_NEWEST = "newest"
_MOST_SLIDER = 1_000  # detections
_WAITING, _RUNNING = 32, 8  # tries of all users
_SECONDS = (300, 3_600)  # Gradio's own cleaning: how often, and of files how old
_STOPPED = json.dumps({"__type__": "update", "value": words.note("Stopped."), "visible": True})
# What was on its way when a try was stopped comes after that was said, and would seem to be under way for ever.
_STILL_STOPPED = f"""async () => {{
  await new Promise(done => setTimeout(done, 1000));
  return [document.querySelector('#notice progress') ? {_STOPPED} : {{__type__: 'update'}}];
}}"""


def blocks(trying: Trying, asker: Asker) -> gr.Blocks:
    """Builds the page.

    Args:
      trying: Runs what is asked.
      asker: Knows the models.

    Returns:
      Gradio's page, not served yet.
    """
    with gr.Blocks(analytics_enabled=False, title="tftrt_yolo", delete_cache=_SECONDS) as page:
        gr.HTML(looks.BRAND)
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                asked = _Asked()
            with gr.Column(scale=9, min_width=420):
                given = _Given()
        _connect(page, asked, given, _Events(trying, asker))
    page.queue(max_size=_WAITING, default_concurrency_limit=_RUNNING, api_open=False)
    return page


class _Asked:
    """The left: what is dropped, and what is asked of which model."""

    def __init__(self):
        self.files = gr.File(label="Pictures or a video", file_count="multiple", height=170, elem_id="files")
        with gr.Row():
            self.model = gr.Dropdown(label="Model", elem_id="model", scale=3, min_width=120)
            self.version = gr.Dropdown(label="Version", elem_id="version", scale=2, min_width=90)
        self.about = gr.HTML(elem_id="about")
        own = Selection()
        with gr.Group(elem_id="selection") as self.group:
            self.score = gr.Slider(0, 1, own.score_threshold, step=0.01, label="Score threshold", elem_id="score")
            self.iou = gr.Slider(0, 1, own.iou_threshold, step=0.01, label="IoU threshold", elem_id="iou")
            self.most = gr.Slider(1, _MOST_SLIDER, own.max_detections, step=1, label="Max detections", elem_id="most")
            self.classes = gr.Dropdown(label="Classes (none for all)", multiselect=True, elem_id="classes")
        with gr.Row():
            self.again = gr.Button("Run again", variant="primary", size="sm", elem_id="again")
            self.stop = gr.Button("Stop", size="sm", elem_id="stop")

    @property
    def sliders(self) -> list:
        """What is asked."""
        return [self.score, self.iou, self.most, self.classes]

    @property
    def inputs(self) -> list:
        """What a try is made from."""
        return [self.files, self.model, self.version, *self.sliders]


class _Given:
    """The right: what came of it."""

    def __init__(self):
        self.notice = gr.HTML(elem_id="notice", visible=False)
        self.empty = gr.HTML(words.EMPTY, elem_id="empty")
        self.pictures = gr.Gallery(
            label="Pictures",
            show_label=False,
            preview=True,
            object_fit="contain",
            height=520,
            visible=False,
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id="pictures",
        )
        self.video = gr.Video(
            label="Video",
            show_label=False,
            visible=False,
            interactive=False,
            height=520,
            buttons=["download"],
            elem_id="video",
        )
        self.figures = gr.HTML(elem_id="figures")
        self.table = gr.HTML(elem_id="table")

    @property
    def outputs(self) -> list:
        """What a try changes."""
        return [self.notice, self.empty, self.pictures, self.video, self.figures, self.table]


class _Events:
    """What happens."""

    def __init__(self, trying: Trying, asker: Asker):
        self._trying, self._asker = trying, asker

    async def run(self, files, model, version, score, iou, most, classes) -> AsyncIterator[list]:
        """A drop, or a click: all that is there is tried."""
        paths = [Path(file) for file in files or []]
        if not paths:
            yield _updates(Shown())
            return
        asked = {"score_threshold": score, "iou_threshold": iou, "max_detections": most, "classes": classes or None}
        choice = Choice(str(model or ""), None if version in (None, _NEWEST) else int(version), asked)
        async for shown in self._trying.run(paths, choice):
            yield _updates(shown)

    async def adjust(self, files, *others) -> AsyncIterator[list]:
        """A slider's move: pictures are tried anew, a video waits for a click."""
        from tftrt_yolo.serving.page import pictures

        paths = [Path(file) for file in files or []]
        if not paths or any(map(pictures.is_video, paths)):
            yield [gr.skip()] * 6
            return
        async for updates in self.run(files, *others):
            yield updates

    def models(self) -> list:
        """The page is opened: which models are there."""
        names = sorted({state.name for state in self._asker.states()})
        first = names[0] if names else None
        return [gr.update(choices=names, value=first), *self.model(first)]

    def model(self, name: str | None) -> list:
        """A model is chosen: its versions, and all of `version`."""
        states = [state for state in self._asker.states() if state.name == name]
        versions = [_NEWEST, *(str(state.version) for state in reversed(states))]
        return [gr.update(choices=versions, value=_NEWEST), *self.about(name, _NEWEST)]

    def about(self, name: str | None, version: str) -> list:
        """A version is chosen: what it is, its classes, its own thresholds."""
        if name is None:
            return [words.problem("No model is there yet. Reload the page in a moment."), *[gr.skip()] * 5]
        try:
            model = self._asker.model(name, None if version == _NEWEST else int(version))
        except RefusedError as error:
            return [words.problem(str(error)), *[gr.skip()] * 5]
        own = model.metadata.selection
        choices = [(name, index) for index, name in sorted(model.metadata.names.items())]
        return [
            words.model_line(model),
            gr.update(visible=model.task.finds_objects),
            own.score_threshold,
            gr.update(value=own.iou_threshold, visible=not model.metadata.is_end_to_end),
            gr.update(value=own.max_detections, maximum=max(_MOST_SLIDER, own.max_detections)),
            gr.update(choices=choices, value=[]),
        ]


def _connect(page: gr.Blocks, asked: _Asked, given: _Given, events: _Events) -> None:
    """Says what happens on what."""
    quiet = {"api_visibility": "private", "show_progress": "hidden"}
    about = [asked.about, asked.group, *asked.sliders]
    page.load(events.models, None, [asked.model, asked.version, *about], **quiet)
    asked.model.input(events.model, asked.model, [asked.version, *about], **quiet)
    asked.version.input(events.about, [asked.model, asked.version], about, **quiet)
    tried = gr.on(
        [asked.files.change, asked.again.click],
        events.run,
        asked.inputs,
        given.outputs,
        trigger_mode="always_last",
        api_visibility="private",
        show_progress="minimal",
        show_progress_on=given.figures,
        concurrency_limit=_RUNNING,
    )
    moved = gr.on(
        [asked.score.change, asked.iou.change, asked.most.change, asked.classes.change, asked.version.change],
        events.adjust,
        asked.inputs,
        given.outputs,
        trigger_mode="always_last",
        concurrency_limit=_RUNNING,
        **quiet,
    )
    # In the browser: a server's answer comes by the stream of the cancelled try, which the browser may have closed.
    ended = asked.stop.click(None, None, None, cancels=[tried, moved])
    said = ended.then(None, None, given.notice, js=f"() => [{_STOPPED}]", **quiet)
    said.then(None, None, given.notice, js=_STILL_STOPPED, **quiet)


def _updates(shown: Shown) -> list:
    """What a try changes on the page, in the order of `_Given.outputs`."""
    has_any = shown.pictures is not None or shown.video is not None
    return [
        gr.update(value=shown.notice, visible=bool(shown.notice)),
        gr.update(visible=not has_any),
        gr.update(value=shown.pictures, visible=shown.pictures is not None, selected_index=0),
        gr.update(value=shown.video, visible=shown.video is not None),
        shown.figures,
        shown.table,
    ]
