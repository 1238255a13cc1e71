"""Pages lead where they say."""

import re

LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<to>[^)\s]+)\)")


def test_every_link_between_pages_leads_to_a_file(root, files):
    pages = [name for name in files if name.endswith(".md")]
    assert "README.md" in pages
    broken = [
        f"{page}: {to}"
        for page in pages
        for to in LINK.findall((root / page).read_text())
        if not to.startswith(("http://", "https://", "#", "mailto:"))
        and not ((root / page).parent / to.partition("#")[0]).exists()
    ]
    assert broken == []


def test_decisions_are_numbered_without_gaps_and_say_what_follows(root):
    decisions = sorted((root / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], path.name
