"""The pages that `batchproxy-bench` writes, in Chromium: in both themes, on a screen and on a telephone (the part `ui` of
scripts/test --full; BATCHPROXY_SCREENSHOTS names a folder to keep the pictures in)."""
import json
import os
import pathlib

import pytest

from tests.support.builds import ROOT
from tests.support.load import bench
from tests.support.proxy import running_proxy, write_config

from .browser import running_browser

pytestmark = pytest.mark.full("ui")

AXE = ROOT / "build/axe/node_modules/axe-core/axe.min.js"
QUESTIONS = ROOT / "configs" / "questions.jsonl"
# Name, width, height, the system's colours.
VIEWS = [("light", 1280, 800, "light"), ("dark", 1280, 800, "dark"), ("phone", 390, 844, "light"),
         ("phone-dark", 390, 844, "dark")]
PAGES = ["run", "pair", "sweep"]

# What cannot be read: beyond the page or its drawing, smaller than 11 pixels, or on another text of the drawing.
UNREADABLE = """
const wrong = [];
if (document.documentElement.scrollWidth > window.innerWidth) wrong.push('the page is wider than its window');
for (const svg of document.querySelectorAll('svg')) {
  const frame = svg.getBoundingClientRect();
  if (frame.width === 0) continue;  // the drawing for the other width
  const texts = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
  texts.forEach(([what, box], i) => {
    if (box.left < frame.left - 1 || box.right > frame.right + 1) wrong.push(`cut off: ${what}`);
    if (box.height < 11) wrong.push(`too small: ${what}`);
    for (const [other, beside] of texts.slice(i + 1)) {
      const apart = box.right <= beside.left || beside.right <= box.left || box.bottom <= beside.top + 2 ||
                    beside.bottom <= box.top + 2;
      if (!apart) wrong.push(`on each other: ${what} and ${other}`);
    }
  });
}
for (const tile of document.querySelectorAll('.tile b')) {
  if (tile.scrollWidth > tile.clientWidth) wrong.push(`does not fit: ${tile.textContent}`);
}
return wrong;
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A folder with a page of each kind."""
    folder = tmp_path_factory.mktemp("report")
    with running_proxy(folder, "--config", write_config(folder / "c.yaml")) as proxy:
        proxy.ready(4)
        to = ["--url", proxy.url, "--admin", proxy.admin, "--questions", QUESTIONS]
        for words in (["run", *to, "--stream", "--goodput", "e2el:200", "--warm-up", "10%", "--json", folder / "a.json",
                       "--html", folder / "run.html"],
                      ["run", *to, "--rate", 100, "--json", folder / "b.json"],
                      ["report", folder / "a.json", folder / "b.json", "--html", folder / "pair.html"],
                      ["sweep", *to, "--workers", "8,32", "--batch-size", "4,16", "--batch-timeout", "0.02,0.1",
                       "--repeats", 1, "--out", folder / "s.jsonl", "--html", folder / "sweep.html"]):
            done = bench(*words)
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name, width, height, scheme", VIEWS, ids=[view[0] for view in VIEWS])
def test_all_can_be_read(browser, pages, tmp_path, page, name, width, height, scheme):
    browser.see(width, height, scheme, mobile=width < 500)
    browser.open(f"file://{pages}/{page}.html")
    pictures = pathlib.Path(os.environ.get("BATCHPROXY_SCREENSHOTS", tmp_path))
    pictures.mkdir(parents=True, exist_ok=True)
    browser.screenshot(pictures / f"report-{page}-{name}.png", whole=True)
    assert not browser.run(UNREADABLE)
    assert not browser.complaints()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name, width, height, scheme", VIEWS, ids=[view[0] for view in VIEWS])
def test_axe_finds_nothing_serious(browser, pages, page, name, width, height, scheme):
    if not AXE.exists():
        pytest.skip("scripts/python-tools --axe installs what this needs")
    browser.see(width, height, scheme, mobile=width < 500)
    browser.open(f"file://{pages}/{page}.html")
    browser.run(AXE.read_text())
    found = browser.run("return axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map((v) => "
                        "[v.impact, v.id, v.nodes.map((n) => n.html.slice(0, 120) + ' ' + n.failureSummary)]))")
    assert not [one for one in found if one[0] in ("serious", "critical")], json.dumps(found, indent=1)
