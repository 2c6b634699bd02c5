"""The page at /ui in Chromium, under load, with an engine that is slow, one that hangs and one that was killed (the part
`ui` of scripts/test --full; BATCHPROXY_SCREENSHOTS names a folder to keep the pictures in)."""
import contextlib
import json
import os
import pathlib
import signal
import threading

import pytest

from tests.integration.test_batches import create
from tests.integration.test_ui import MOST_STREAMS, watching
from tests.support.asking import MODEL, call, complete
from tests.support.builds import PROXY, ROOT
from tests.support.proxy import Proxy, running_proxy, write_config
from tests.support.waiting import wait_until

from .browser import ENTER, ESCAPE, TAB, running_browser

pytestmark = pytest.mark.full("ui")

AXE = ROOT / "build/axe/node_modules/axe-core/axe.min.js"
MISSING = ROOT / "build/axe-missing"
# Name, width, height, the system's colours.
VIEWS = [("light", 1280, 800, "light"), ("dark", 1280, 800, "dark"), ("phone", 390, 844, "light"), ("phone-dark", 390, 844, "dark")]
VIEW = pytest.mark.parametrize("name, width, height, scheme", VIEWS, ids=[view[0] for view in VIEWS])
STRANGE = "<img src=x onerror=alert(1)>"


def engine_command():
    """Of simulated engines at twenty times their speed, but for number 1."""
    line = (f"exec {PROXY} sim-engine {MODEL} --port {{port}} --sim-load-time 0 "
            "--sim-time-scale $(if [ {index} = 1 ]; then echo 1; else echo 0.05; fi)")
    return ["/bin/sh", "-c", line]


@contextlib.contextmanager
def load(proxy, threads=24):
    """Clients that ask as long as this lasts."""
    over = threading.Event()

    def ask(number):
        asked = 0
        while not over.is_set():
            asked += 1
            with contextlib.suppress(OSError):
                complete(proxy.url, f"client {number} asks for the {asked}. time " + "a word " * 40, max_tokens=24)
    clients = [threading.Thread(target=ask, args=(number,)) for number in range(threads)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        over.set()
        for client in clients:
            client.join()


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A proxy under load: engine-0 is fine, 1 slow, 2 hangs, 3 was killed; a batch is under way, and requests have failed."""
    folder = tmp_path_factory.mktemp("ui")
    config = write_config(folder / "c.yaml", servers=4, engine="command", command=engine_command(), restart="never", gpus=8,
                          liveness_timeout=3600)
    config.write_text(config.read_text().replace("  health_interval", "  stuck_timeout: 2\n  health_interval"))
    with running_proxy(folder, "--config", config, env={"XDG_STATE_HOME": str(folder)}) as proxy:
        proxy.ready(4)
        pids = proxy.engine_pids(4)
        lines = [json.dumps({"custom_id": str(i), "method": "POST", "url": "/v1/completions", "body": {
            "model": MODEL, "prompt": f"line {i}", "max_tokens": 1000}}) for i in range(20_000)]
        assert create(proxy.url, lines)[0] == 200
        for model in ("nobody has this", STRANGE):
            assert complete(proxy.url, "x", model=model)[0].status == 404
        call(proxy.url, "/v1/completions", {"model": MODEL}, {"X-Request-Id": "nightly-eval-7/31"})
        with load(proxy):
            condition = lambda i: proxy.status()["backends"][i]["condition"]  # noqa: E731
            wait_until(lambda: condition(1) == "slow", "engine-1 is slow")
            os.kill(pids[2], signal.SIGSTOP)
            os.kill(pids[3], signal.SIGKILL)
            wait_until(lambda: (condition(2), condition(3)) == ("stuck", "down"), "engine-2 hangs, engine-3 is down")
            try:
                yield proxy
            finally:
                os.kill(pids[2], signal.SIGCONT)
        batch = json.loads(call(proxy.url, "/v1/batches")[1])["data"][0]
        call(proxy.url, f"/v1/batches/{batch['id']}/cancel", method="POST")


@pytest.fixture(scope="module")
def page(faulty, tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("browser")) as browser:
        browser.open(f"{faulty.admin}/ui")
        wait_until(lambda: "engine-2 is stuck" in (browser.text("#concerns") or ""), "the first picture")
        wait_until(lambda: browser.run("return document.querySelectorAll('#failed tbody tr').length") >= 3, "the requests")
        yield browser


@pytest.fixture
def pictures(tmp_path):
    folder = pathlib.Path(os.environ.get("BATCHPROXY_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def unfold(page):
    """As much as there is: an engine's details, and all keys."""
    page.run("document.querySelectorAll('button.engine[aria-expanded=false]').forEach((b) => b.click());"
             "if (!document.getElementById('all-keys').checked) document.getElementById('all-keys').click()")


def fold(page):
    page.run("document.querySelectorAll('button.engine[aria-expanded=true]').forEach((b) => b.click());"
             "if (document.getElementById('all-keys').checked) document.getElementById('all-keys').click();"
             "window.scrollTo(0, 0)")


# --- what it shows --------------------------------------------------------------------------------------

def test_it_names_what_is_wrong_and_says_what_to_do(page):
    concerns = page.text("#concerns")
    lines = [line for line in concerns.splitlines() if " is " in line]
    assert concerns.index("engine-2 is stuck") < concerns.index("engine-1 is slow"), lines
    assert concerns.index("engine-3 is down") < concerns.index("engine-1 is slow"), "the worst first"
    assert "engine-0" not in concerns
    assert "without a byte for" in concerns or "stood still" in concerns
    wait_until(lambda: "kills and restarts it by itself after launcher.liveness_timeout (3600)" in page.text("#concerns"),
               "what the configuration says of it")
    assert "mend that, then start it" in concerns and "Look at its GPUs" in concerns
    assert page.run("return document.title").startswith("(2!)")


def test_it_shows_the_same_as_status(faulty, page):
    row = page.run("return [...document.querySelectorAll('#engine-rows > tr:not(.detail)')].map((r) => r.innerText)")
    assert len(row) == 4 and all(f"engine-{i}" in text for i, text in enumerate(row))
    for i, condition in enumerate(("fine", "slow", "stuck", "down")):
        assert condition in row[i], row[i]
    assert "of 20000 answered" in page.text("#jobs")
    config = page.text("#config")
    assert "stuck_timeout" in config and "max_queue" not in config, "what is set, not the defaults"
    wait_until(lambda: page.run("return [...document.querySelectorAll('.tile svg path.line')].filter((p) => "
                                "(p.getAttribute('d') || '').includes('L')).length") == 6, "six curves")


def test_what_clients_send_is_text_and_no_markup(page):
    wait_until(lambda: "nightly-eval-7/31" in page.text("#failed"), "the client's own id")
    page.run("[...document.querySelectorAll('#failed button')].forEach((b) => { b.click(); window.seen = (window.seen || '') + "
             "document.getElementById('one').innerText; document.getElementById('one').close(); })")
    assert STRANGE in page.run("return window.seen")
    assert page.run("return document.images.length") == 0


def test_the_policy_is_kept(page):
    """And no script has failed: Chromium would say either."""
    assert not page.complaints()
    refused = page.run("try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); return 'done' } catch (e) { return e.name }")
    assert refused == "TypeError", "the policy asks for trusted types, and there are none"
    assert page.complaints()


# --- how it looks ---------------------------------------------------------------------------------------

CLIPPED = """
const wrong = [];
const root = document.documentElement;
if (root.scrollWidth > window.innerWidth) wrong.push(`the page is ${root.scrollWidth} wide`);
for (const node of document.querySelectorAll('body *')) {
  const box = node.getBoundingClientRect();
  if (box.width === 0 || box.height === 0 || box.right < 0) continue;  // not shown
  const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim());
  const name = `${node.tagName}.${node.className} ${node.textContent.slice(0, 40)}`;
  if (own && (box.left < -1 || box.right > window.innerWidth + 1)) wrong.push(`outside: ${name}`);
  if (own && node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0 && getComputedStyle(node).display !== 'inline')
    wrong.push(`cut: ${name}`);
}
return wrong;
"""


@VIEW
def test_nothing_is_cut_off(page, pictures, name, width, height, scheme):
    page.see(width, height, scheme, mobile=width < 500)
    fold(page)
    page.screenshot(pictures / f"ui-{name}.png")
    page.screenshot(pictures / f"ui-{name}-whole.png", whole=True)
    assert not page.run(CLIPPED)
    unfold(page)
    wait_until(lambda: "Last problem" in (page.text("#engine-rows") or ""), "the details")
    page.screenshot(pictures / f"ui-{name}-unfolded.png", whole=True)
    assert not page.run(CLIPPED)
    fold(page)


@VIEW
def test_axe_finds_nothing_serious(page, name, width, height, scheme):
    if not AXE.exists():
        pytest.skip(MISSING.read_text().strip() if MISSING.exists() else "scripts/python-tools --axe installs what this needs")
    page.see(width, height, scheme, mobile=width < 500)
    unfold(page)
    page.run(AXE.read_text())
    for show in ("", "document.querySelector('#failed button').click()"):
        page.run(show or "return 0")
        found = page.run("return axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map((v) => "
                         "[v.impact, v.id, v.nodes.map((n) => n.html.slice(0, 120) + ' ' + n.failureSummary)]))")
        print(name, show, [(impact, what) for impact, what, _ in found])
        assert not [one for one in found if one[0] in ("serious", "critical")], json.dumps(found, indent=1)
    page.run("document.getElementById('one').close()")
    fold(page)


def test_the_switch_overrules_the_system(page):
    page.see(1280, 800, "light")
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(colour)
    page.run("document.getElementById('theme').click(); document.getElementById('theme').click()")
    assert page.text("#theme") == "Theme: dark" and page.run(colour) != light
    page.run("document.getElementById('theme').click()")
    assert page.text("#theme") == "Theme: system" and page.run(colour) == light


# --- keys and orders ------------------------------------------------------------------------------------

def focused(page):
    return page.run("const a = document.activeElement; return a.getAttribute('aria-label') || a.innerText || a.id || a.tagName")


def tab_to(page, label, most=80):
    for _ in range(most):
        page.press(TAB)
        if focused(page) == label:
            ring = page.run("return getComputedStyle(document.activeElement).outlineStyle")
            assert ring != "none", f"{label} shows that it has the focus"
            return
    raise AssertionError(f"the keyboard does not reach {label}")


def test_the_keyboard_drains_and_restarts_an_engine(faulty, page):
    page.see(1280, 800, "light")
    fold(page)
    page.run("document.activeElement.blur()")
    state = lambda: faulty.status()["backends"][0]["state"]  # noqa: E731
    tab_to(page, "Drain engine-0")
    page.press(ENTER)
    wait_until(lambda: state() == "paused", "engine-0 is drained")
    wait_until(lambda: "gets no more requests until it is resumed" in (page.text("#said") or ""), "the page says so")
    wait_until(lambda: focused(page) == "Resume engine-0", "the same button, which keeps the focus")
    page.press(ENTER)
    wait_until(lambda: state() == "ready", "engine-0 is back")
    tab_to(page, "Restart engine-0")
    page.press(ENTER)
    assert page.text("#ask-title") == "Restart engine-0?" and focused(page) == "Cancel"
    page.press(ESCAPE)
    assert page.run("return document.getElementById('ask').open") is False
    assert state() == "ready" and faulty.status()["backends"][0]["restarts"] == 0


def test_a_link_leads_past_the_rest(faulty, page):
    page.open(f"{faulty.admin}/ui")
    page.press(TAB)
    assert focused(page) == "Skip to the engines"
    page.press(ENTER)
    assert focused(page).startswith("Engines")


# --- a stream that breaks -------------------------------------------------------------------------------

def test_a_broken_stream_is_told_and_tried_again(faulty, page, pictures):
    page.see(1280, 800, "light")
    os.kill(faulty.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: "Not live: no word for 6 s. What is below is from " in (page.text("#lost") or ""), "it says so")
        assert page.run("return document.title") == "(not live) batchproxy"
        page.screenshot(pictures / "ui-lost.png")
        assert not page.run(CLIPPED)
    finally:
        os.kill(faulty.pid, signal.SIGCONT)
    wait_until(lambda: page.run("return document.getElementById('lost').hidden"), "and is live again by itself")
    assert "live" in page.text("#live") and "not live" not in page.text("#live")


def test_one_page_too_many_says_why(faulty, page):
    page.open("about:blank")
    wait_until(lambda: faulty.metrics()["batchproxy_ui_streams"] == 0, "its stream has ended")
    with watching(faulty, MOST_STREAMS):
        page.open(f"{faulty.admin}/ui")
        wait_until(lambda: "All 200 streams of /ui/events are in use" in (page.text("#lost") or ""), "the limit's sentence")
    wait_until(lambda: "engine-3 is down" in (page.text("#concerns") or ""), "live by itself, once there is room")


def test_where_a_key_is_asked_for_the_page_asks_for_it(page, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.touch(0o600)
    keys.write_text("alice alices-key-0123456789\n")
    proxy = Proxy(["--backend", "http://127.0.0.1:9", "--admin", "0.0.0.0:0", "--api-keys-file", keys], tmp_path)
    try:
        page.open(proxy.admin.replace("0.0.0.0", "127.0.0.1") + "/ui")
        wait_until(lambda: "asks for an API key" in (page.text("#lost") or ""), "the question")
        for key, then in (("wrong-key-0123456789", lambda: "does not open" in (page.text("#lost") or "")),
                          ("alices-key-0123456789", lambda: "127.0.0.1:9 is" in (page.text("#concerns") or ""))):
            page.run("document.getElementById('key').focus()")
            page.press(key + ENTER)
            wait_until(then, key)
        assert page.run("return Object.keys(localStorage).length") == 0, "the key is of this tab"
        page.run("document.getElementById('key-button').click()")
        wait_until(lambda: "asks for an API key" in (page.text("#lost") or ""), "the question again")
        assert page.run("return sessionStorage.length") == 0
    finally:
        proxy.stop()
