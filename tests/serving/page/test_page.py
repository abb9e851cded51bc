"""The page in a real browser, before a real server with models of all tasks: it shows what a Predictor finds."""

import collections
import io
import ssl
import subprocess
import urllib.request

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import DATA, IMAGES
from tests.serving.page.conftest import TASKS, serving
from tftrt_yolo.tasks.results import tables

PICTURE = IMAGES[3]
_LIMITS = ("--max_body_bytes=400000", "--max_pixels=1000000", "--page_frames=40")


@pytest.fixture(scope="module")
def served(chromium, repository, tmp_path_factory):
    """One server for all tests of this file; `chromium` skips first."""
    with serving(tmp_path_factory.mktemp("served") / "server", f"--model_repository={repository}", *_LIMITS) as server:
        yield server


class _Reader:
    """Who looks at the page."""

    def __init__(self, page, url):
        self.page, self.url = page, url
        self.asked, self.failures = [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.failures.append(str(error)))
        page.goto(f"{url}/page", wait_until="load")
        page.wait_for_selector("#about .model")

    def drop(self, *files):
        """Drops files, in place of those that are there."""
        if self.page.locator("#files button[aria-label='Clear']").count():
            self.page.click("#files button[aria-label='Clear']")
            self.page.wait_for_selector("#empty .empty")
        self.page.set_input_files("#files input[type=file]", files)

    def choose(self, name):
        """Chooses a model."""
        self.page.click("#model input")
        self.page.click(f"#model [role=option][aria-label='{name}'], [role=option]:has-text('{name}')")
        self.page.wait_for_function("name => document.querySelector('#model input').value === name", arg=name)

    def slide(self, element, value):
        """Sets a slider by its number."""
        self.page.fill(f"#{element} input[type=number]", str(value))
        self.page.keyboard.press("Enter")

    def until_table(self, *results):
        """Waits until these tables are shown."""
        wanted = [tables.page(result) for result in results]
        self.page.wait_for_function(
            "wanted => JSON.stringify([...document.querySelectorAll('#table .result')].map(e => e.innerHTML))"
            " === JSON.stringify(wanted)",
            arg=wanted,
            timeout=30_000,
        )

    def problem(self):
        """What is said of a problem."""
        return self.page.locator("#notice .problem").first.inner_text(timeout=20_000)

    def picture(self):
        """The picture that is shown, as an array."""
        source = self.page.get_attribute("#pictures .preview img", "src")
        with urllib.request.urlopen(source) as answer:
            return np.asarray(PIL.Image.open(io.BytesIO(answer.read())).convert("RGB"))


@pytest.fixture
def reader(served, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    yield _Reader(page, served.url)
    page.close()


@pytest.fixture(scope="module")
def predictors(models):
    made = {}

    def of(name):
        return made.setdefault(name, tftrt_yolo.Predictor(models.exported(name)))

    return of


@pytest.mark.parametrize("name", TASKS)
def test_each_task_shows_what_a_predictor_finds(reader, predictors, name):
    reader.choose(name)
    reader.drop(PICTURE)
    [expected] = predictors(name)([PICTURE])
    reader.until_table(expected)
    assert (reader.page.locator("#selection").count() > 0) == (name not in ("classify", "semantic", "depth"))
    drawn = np.asarray(tftrt_yolo.annotate(PICTURE, expected)).astype(int)
    assert np.abs(reader.picture().astype(int) - drawn).mean() < 4  # a JPEG of it
    assert "the model was not converted" in reader.page.inner_text("#about")
    assert reader.page.locator("#figures .value").all_inner_texts()[3] == name
    assert all("ms" in text or " s" in text for text in reader.page.locator("#figures .value").all_inner_texts()[:3])


def test_sliders_and_classes(reader, predictors):
    reader.choose("tiny")
    reader.drop(PICTURE)
    predict = predictors("tiny")
    [all_of_them] = predict([PICTURE])
    reader.until_table(all_of_them)
    reader.slide("score", 0.8)
    [fewer] = predict([PICTURE], score_threshold=0.8)
    assert 0 < len(fewer) < len(all_of_them)
    reader.until_table(fewer)
    reader.slide("most", 1)
    reader.until_table(*predict([PICTURE], score_threshold=0.8, max_detections=1))
    reader.slide("most", 300)
    reader.slide("score", 0.01)
    reader.slide("iou", 0.05)
    reader.until_table(*predict([PICTURE], score_threshold=0.01, iou_threshold=0.05))
    name = str(all_of_them.data["class_name"][0])
    reader.page.click("#classes input")
    reader.page.click(f"[role=option][aria-label='{name}']")
    reader.until_table(*predict([PICTURE], score_threshold=0.01, iou_threshold=0.05, classes=[name]))


def test_several_pictures_of_which_one_is_bad(reader, predictors, tmp_path):
    bad = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    bad.write_bytes(b"no picture")
    reader.choose("tiny")
    reader.drop(*IMAGES[3:6], bad)
    reader.until_table(*predictors("tiny")(IMAGES[3:6]))
    assert "is no image: it starts with b'no picture'" in reader.problem()
    assert reader.page.locator("#notice img").count() == 0
    assert not reader.failures


def _video(path, count=45):
    import av

    frame = PIL.Image.open(PICTURE).convert("RGB").resize((320, 256))
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *frame.size, "yuv420p"
        for index in range(count):
            pixels = np.roll(np.asarray(frame), 4 * index, axis=1)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        file.mux(stream.encode())
    return path


def test_a_video_comes_back_and_plays(reader, predictors, tmp_path):
    clip = _video(tmp_path / "clip.mp4")
    reader.choose("tiny")
    reader.drop(clip)
    reader.page.wait_for_selector("#video video", timeout=60_000)
    assert "The video is longer; its first 40 frames are annotated (--page_frames)." in reader.page.inner_text(
        "#notice"
    )
    played = reader.page.evaluate(
        "async () => { const v = document.querySelector('#video video'); v.muted = true; await v.play();"
        " await new Promise(done => setTimeout(done, 700));"
        " return [v.duration, v.videoWidth, v.currentTime > 0, v.error] }"
    )
    assert played == [4, 320, True, None]
    counts = {}
    for result in predictors("tiny")(clip)[:40]:
        for name in result.data["class_name"]:
            counts[name] = counts.get(name, 0) + 1
    shown = reader.page.locator("#table tbody tr").all_inner_texts()
    assert {line.split()[0]: int(line.split()[1]) for line in shown} == counts
    assert "40 frames" in reader.page.inner_text("#table")


@pytest.mark.parametrize("name", ["semantic", "depth"])
def test_a_video_of_maps_shows_figures_too(reader, predictors, tmp_path, name):
    clip = _video(tmp_path / "clip.mp4", count=12)
    reader.choose(name)
    reader.drop(clip)
    reader.page.wait_for_selector("#video video", timeout=60_000)
    assert "12 frames" in reader.page.inner_text("#table")
    shown = [line.split("\t") for line in reader.page.locator("#table tbody tr").all_inner_texts()]
    found = predictors(name)(clip)
    if name == "semantic":
        assert {line[0]: int(line[1]) for line in shown} == collections.Counter(
            row["name"] for result in found for row in result.rows()
        )
    else:
        figures = np.array([(one.minimum, one.median, one.maximum) for one in found])
        expected = [of(figures, axis=0) for of in (np.min, np.mean, np.max)]
        assert [line[0] for line in shown] == ["least", "mean", "largest"]
        np.testing.assert_allclose([[float(cell) for cell in line[1:]] for line in shown], expected, atol=0.0056)
    assert not reader.failures


def test_a_video_can_be_stopped(reader, tmp_path):
    clip = _video(tmp_path / "long.mp4", count=200)
    reader.choose("segment")
    reader.drop(clip)
    reader.page.wait_for_selector("#notice progress")
    reader.page.click("#stop")
    reader.page.wait_for_selector("#notice :text('Stopped.')")


def _cut(path, source, count):
    path.write_bytes(source.read_bytes()[:count])
    return path


def _large(path):
    PIL.Image.new("RGB", (2_000, 600)).save(path)
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        # of no bytes
        (lambda folder: [_cut(folder / "a.png", PICTURE, 0)], "a.png is empty. Expected an image file"),
        # cut
        (lambda folder: [_cut(folder / "b.jpg", PICTURE, 900)], "b.jpg cannot be decoded"),
        # a video without its end
        (lambda folder: [_cut(folder / "c.mp4", _video(folder / "v.mp4"), 900)], "c.mp4 is no video that can be read"),
        # a picture that says it is a video
        (lambda folder: [_cut(folder / "d.mp4", PICTURE, 99_999)], "d.mp4 "),
        # more pixels than --max_pixels
        (lambda folder: [_large(folder / "e.png")], "e.png has 2,000 x 600 pixels; expected at most 1,000,000 ("),
        # a video and a picture
        (lambda folder: [_video(folder / "f.mp4"), PICTURE], "You dropped 2 files, a video among them. Drop a video"),
        # text
        (lambda folder: [DATA / "README.md"], "README.md is no image"),
    ],
)
def test_bad_files_are_told(reader, tmp_path, make, said):
    reader.drop(*make(tmp_path))
    found = reader.problem()
    assert found.startswith(said)
    assert str(tmp_path) not in found
    assert "Traceback" not in reader.page.content()


def test_an_oversized_file_is_told(reader, tmp_path):
    (tmp_path / "large.jpg").write_bytes(PICTURE.read_bytes() + bytes(500_000))
    reader.drop(tmp_path / "large.jpg")
    toast = reader.page.locator(".toast-text, [data-testid=toast-text]").first
    assert "That is more than 400,000 bytes, which is the most at once (--max_body_bytes)." in toast.inner_text()


def test_nothing_leaves_this_machine(reader, predictors):
    reader.choose("tiny")
    reader.drop(PICTURE)
    reader.until_table(*predictors("tiny")([PICTURE]))
    reader.page.wait_for_timeout(1_000)
    assert [url for url in reader.asked if not url.startswith((reader.url, "data:", "blob:"))] == []
    assert len(reader.asked) > 20
    assert not reader.failures
    blocked = reader.page.evaluate("fetch('http://127.0.0.1:1/').then(() => 'sent', error => 'blocked')")
    assert blocked == "blocked"


def test_what_the_page_does_not_need_is_not_there(served):
    for path in (
        "/page/gradio_api/info",
        "/page/gradio_api/openapi.json",
        "/page/gradio_api/proxy=http://127.0.0.1/",
        "/page/gradio_api/file=/etc/passwd",
        "/page/gradio_api/file=http://127.0.0.1/",
        f"/page/gradio_api/file={served.log}",
        "/page/monitoring",
        "/page/gradio_api/vibe-code/",
        "/page/gradio_api/runs",
        "/page/../etc/passwd",
    ):
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            urllib.request.urlopen(served.url + path)
        assert b"Traceback" not in caught.value.read()


def test_the_end_waits_for_no_open_page(chromium, models, tmp_path):
    """TERM with a page open: the server ends at once, and what was dropped goes with it."""
    with serving(tmp_path / "server", f"--saved_model_dir={models.exported('tiny')}") as server:
        page = chromium.new_page()
        reader = _Reader(page, server.url)
        reader.drop(PICTURE)
        page.wait_for_selector("#table table")
        [folder] = server.temporary.glob("tftrt_yolo_page_*")
        assert list(folder.rglob("*.jpg"))
        status, seconds = server.end()
        page.close()
        assert status == 0, server.log.read_text()
        assert seconds < 20
        assert not folder.exists()
        assert "Traceback" not in server.log.read_text()


def test_a_token_and_tls(chromium, models, tmp_path):
    """The page asks for the token; any name will do."""
    token = tmp_path / "token"
    token.write_text("correct-horse-battery-staple")
    token.chmod(0o600)
    request = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    files = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"]
    subprocess.run([*request.split(), *files], check=True, capture_output=True)
    flags = [f"--token_file={token}", f"--tls_certificate={tmp_path / 'cert.pem'}", f"--tls_key={tmp_path / 'key.pem'}"]
    with serving(tmp_path / "server", f"--saved_model_dir={models.exported('tiny')}", *flags) as server:
        trusting = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        with pytest.raises(urllib.error.HTTPError, match="401") as caught:
            urllib.request.urlopen(f"{server.url}/page/", context=trusting)
        assert caught.value.headers["www-authenticate"].startswith("Basic ")
        credentials = {"username": "anybody", "password": token.read_text()}
        page = chromium.new_page(ignore_https_errors=True, http_credentials=credentials)
        reader = _Reader(page, server.url)
        reader.drop(PICTURE)
        page.wait_for_selector("#table table")
        page.close()
