"""Writes the notebooks as pages of the site, with what their cells give: text, tables and small pictures.

    python docs/notebook_pages.py 2_all_tasks           # executes it; make notebooks does all

The notebooks themselves are kept without outputs. A page stands in notebooks/executed/ with its pictures beside it, and
tests compare its cells with the notebook's.
"""

import base64
import io
import re
import sys
from pathlib import Path

import nbclient
import nbformat
import PIL.Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
PAGES = NOTEBOOKS / "executed"
_MOST_PX = 640  # the longer side of a picture
_TIMEOUT_S = 1_800  # a cell, on a busy machine
_FOLDER = re.compile(r"(?:/[^/\s]+)+/tmp\w{8}/")  # tempfile's: another name each time


def write(name: str) -> Path:
    """Executes a notebook and writes its page.

    Args:
      name: The notebook's, without its ending.

    Returns:
      The page.
    """
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=_TIMEOUT_S, kernel_name="python3", coalesce_streams=True).execute()
    PAGES.mkdir(exist_ok=True)
    for old in PAGES.glob(f"{name}_*.jpg"):
        old.unlink()
    parts = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        parts += [_output(output, f"{name}_{number}.jpg") for output in cell.outputs]
    page = PAGES / f"{name}.md"
    page.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    return page


def _output(output, picture_name: str) -> str:
    """An output in Markdown; a picture becomes a file beside the page. What goes to standard error is left out."""
    data = output.get("data", {})
    if "image/png" in data:
        image = PIL.Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        image.thumbnail((_MOST_PX, _MOST_PX))
        image.save(PAGES / picture_name, quality=80, optimize=True)
        return f"![What the cell shows]({picture_name})"
    if "text/html" in data:
        html = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)
        return re.sub(r"\s*\n\s*", "", _FOLDER.sub("", html))
    text = data.get("text/plain") or (output.get("text", "") if output.get("name") == "stdout" else "")
    return f"```text\n{_FOLDER.sub('', text).rstrip()}\n```" if text.strip() else ""


if __name__ == "__main__":
    for given in sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        print(write(given))  # noqa: T201 - the script's result
