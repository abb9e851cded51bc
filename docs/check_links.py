"""Checks a built site: every link leads to a page and an anchor that is there, and nothing is loaded from elsewhere.

    python docs/check_links.py build/site

mkdocs checks the links of the pages' text; this checks what was built: navigation, reference, pictures, styles and
scripts. Links to other sites are allowed in text and are not fetched.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src"}
_NO_REQUEST = ("canonical", "license", "author")  # of <link>: it names an address and loads nothing


class _Page(HTMLParser):
    """What one page links to, loads, and can be linked to."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        address = attributes.get(_LOADED.get(tag, ""))
        if address and attributes.get("rel") not in _NO_REQUEST:
            self.loads.append(address)


def problems(site: Path) -> list[str]:
    """Looks at every page of a built site.

    Args:
      site: Its folder.

    Returns:
      A line for each link that leads nowhere and each thing that would be loaded from another site.
    """
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"{site} has no page. Build it with `make docs`."]
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        if name.name == "404.html":  # it is shown at any address, so its links count from the root
            continue
        found += [f"{name} loads {address}" for address in page.loads if urlsplit(address).netloc]
        for address in {*page.links, *page.loads}:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{name} links to {address}: there is no such file")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name} links to {address}: there is no such anchor")
    return found


def main(site: str) -> None:
    """Prints what is wrong, and ends with status 1 if anything is."""
    found = problems(Path(site))
    for line in found:
        print(line)  # noqa: T201 - a script
    if found:
        raise SystemExit(f"{len(found)} links or loads are wrong.")


if __name__ == "__main__":
    main(*sys.argv[1:])
