"""The pages: each can be found from README.md, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]


def links(page):
    """Return file and anchor of each link within the project; what stands in code is no link."""
    text = re.sub(r"```.*?```|`[^`]*`", "", (ROOT / page).read_text(), flags=re.DOTALL)
    found = [target.partition("#") for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    here = (ROOT / page).parent
    return [(((here / file) if file else ROOT / page).resolve(), anchor) for file, _, anchor in found]


def anchors(path):
    """Return what the headings of a page are linked by."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    return {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for path, anchor in links(page):
        assert path.exists(), path
        assert not anchor or anchor in anchors(path), f"{path.name}#{anchor}"


def test_every_page_is_found_from_the_readme():
    found, more = set(), {ROOT / "README.md"}
    while more - found:
        found |= more
        more = {path for page in found for path, _ in links(page) if path.suffix == ".md"}
    assert {ROOT / page for page in PAGES if page.startswith("docs/")} <= found
