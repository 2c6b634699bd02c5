"""Links between the documents lead somewhere: to a file, and to a heading of it."""
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, text=True, check=True, stdout=subprocess.PIPE).stdout.split()
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"(?ms)^```.*?^```$", "", text))


def anchors(path):
    """As GitHub makes them of headings."""
    heads = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", FILES)
def test_links_lead_somewhere(name):
    path = ROOT / name
    lost = []
    for link in LINK.findall(without_code(path.read_text())):
        if re.match(r"\w+:", link):
            continue
        file, _, heading = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (heading and target.suffix == ".md" and heading not in anchors(target)):
            lost.append(link)
    assert not lost, f"{name}: {lost}"


def test_the_readme_names_every_document():
    readme = (ROOT / "README.md").read_text()
    documents = [name for name in FILES if name.startswith("docs/")]
    assert len(documents) > 10 and not [name for name in documents if f"]({name})" not in readme]
