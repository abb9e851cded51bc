"""A hook of mkdocs: the repository's own files that belong on the site, and links that hold in both places.

The pages link to `../../benchmarks/README.md` or `../../CHANGELOG.md`, as is right in the repository; on the site these
files stand elsewhere, and their links are rewritten. So no text exists twice. Where a page has the line
`<!-- benchmark table -->`, it gets the table of README.md. The reference names what is public, as
`::: tftrt_yolo.export`, and never the module that it lives in, which is looked up in the package's own table.
"""

import ast
import os
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "pages"
_MOVED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
_COPIED = (
    "docs/docker/*.Dockerfile",
    "benchmarks/*.md",
    "benchmarks/*/benchmark.png",
    "configs/*.py",
    "notebooks/*.ipynb",
    "notebooks/executed/*.md",
    "notebooks/executed/*.jpg",
)
_NOT_ON_THE_SITE = ("benchmarks/findings.md",)  # benchmarks/README.md begins with it
_TABLE = re.compile(r"<!-- benchmark table: begin -->\n(.*?)<!-- benchmark table: end -->", re.DOTALL)
_PUBLIC_NAME = re.compile(r"^::: tftrt_yolo\.(\w+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def repository_files() -> dict[Path, str]:
    """The repository's files that are on the site.

    Returns:
      File to its path on the site.
    """
    copied = [path.relative_to(ROOT).as_posix() for pattern in _COPIED for path in sorted(ROOT.glob(pattern))]
    places = _MOVED | {name: name for name in copied if name not in _NOT_ON_THE_SITE}
    return {ROOT / name: place for name, place in places.items()}


def homes() -> dict[str, str]:
    """Where the package's public names live, read from its source; nothing is imported.

    Returns:
      Name to module, such as "export" to "tftrt_yolo.exporter.export".
    """
    tree = ast.parse((ROOT / "tftrt_yolo" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "_HOME_OF":
            return {name: f"tftrt_yolo.{home}" for name, home in ast.literal_eval(node.value).items()}
    raise ValueError("tftrt_yolo/__init__.py has no table _HOME_OF of the public names. Read them from where they are.")


def on_files(files, config):
    """Adds the repository's files; mkdocs calls it."""
    from mkdocs.structure.files import File

    for path, place in repository_files().items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page, **_) -> str:
    """Rewrites links to the repository's files and public names, and puts README's table in; mkdocs calls it."""
    places, source = repository_files(), Path(page.file.abs_src_path)

    def rewrite(link: re.Match) -> str:
        target = Path(os.path.normpath(source.parent / link[1]))
        if target in places:
            place = places[target]
        elif target.is_relative_to(PAGES):  # from a file of the repository to a page
            place = target.relative_to(PAGES).as_posix()
        else:
            return link[0]
        return f"]({posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or '.')}{link[2] or ''})"

    if "<!-- benchmark table -->" in markdown:
        table = _TABLE.search((ROOT / "README.md").read_text(encoding="utf-8"))[1]
        markdown = markdown.replace("<!-- benchmark table -->", table)
    if _PUBLIC_NAME.search(markdown):
        modules = homes()
        markdown = _PUBLIC_NAME.sub(lambda match: f"::: {modules[match[1]]}.{match[1]}", markdown)
    return _LINK.sub(rewrite, markdown)
