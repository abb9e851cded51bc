"""README, the site's pages and what else is written in Markdown: code blocks, links and anchors.

A fenced block of `bash` has one command a line, which a backslash continues; a block of `python` is part of its
document's script. Both are run by test_documents.py. A line `<!-- slow: ... -->` above a block marks it slow. Blocks of
`text`, or of no language, show output or what cannot be run here.
"""

import dataclasses
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs" / "pages").rglob("*.md"))
DOCUMENTS = [README, *PAGES]
LANGUAGES = ("bash", "python", "text", "")
_BLOCK = re.compile(r"^(<!-- slow\b[^\n]*-->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    code: str
    is_slow: bool


def blocks(path: Path, language: str | None = None) -> list[Block]:
    """A document's fenced blocks, of one language or of all."""
    found = [Block(match[2], match[3], bool(match[1])) for match in _BLOCK.finditer(path.read_text())]
    return [block for block in found if language in (None, block.language)]


def commands(path: Path, *, is_slow: bool = False) -> list[str]:
    """The commands of a document, in order."""
    codes = [re.sub(r"\s*\\\n\s*", " ", block.code) for block in blocks(path, "bash") if block.is_slow == is_slow]
    return "".join(codes).splitlines()


def script(path: Path, *, is_slow: bool = False) -> str:
    """All Python of a document: later blocks use the names of earlier ones."""
    return "\n".join(block.code for block in blocks(path, "python") if block.is_slow == is_slow)


def prose(path: Path) -> str:
    """A document without its blocks."""
    return _BLOCK.sub("", path.read_text())


def links(path: Path) -> list[tuple[str, str]]:
    """A document's relative links: file (empty for the document itself) and anchor."""
    targets = [target.partition("#") for target in _LINK.findall(prose(path)) if "://" not in target]
    return [(name, anchor) for name, _, anchor in targets]


def anchors(path: Path) -> set[str]:
    """What links into a document can name, as the site makes it of headings."""
    import markdown

    renderer = markdown.Markdown(extensions=["toc", "tables", "fenced_code"])
    return set(re.findall(r'id="([^"]+)"', renderer.convert(path.read_text())))
