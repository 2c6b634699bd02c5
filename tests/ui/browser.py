"""Debian's Chromium without a window, driven by its chromedriver over WebDriver: all that the tests of the page need."""
import base64
import contextlib
import json
import pathlib
import shutil

from tests.support.asking import call
from tests.support.program import Program

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's name for a reference to one
TAB, ENTER, ESCAPE, SPACE = "\ue004", "\ue007", "\ue00c", " "


def tool(name):
    found = shutil.which(name)
    assert found, f"{name} is missing: apt-get install --no-install-recommends chromium chromium-driver"
    return found


class Browser:
    def __init__(self, folder):
        self.driver = Program([tool("chromedriver"), "--port=0"], folder)
        port = self.driver.wait_for_line(r"started successfully on port (\d+)")[0][1]
        self.url, self.session = f"http://127.0.0.1:{port}", ""
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", f"--user-data-dir={folder / 'profile'}"]
        options = {"binary": tool("chromium"), "args": flags}
        asked = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.send("POST", "/session", {"capabilities": {"alwaysMatch": asked}})
        self.session = f"/session/{session['sessionId']}"

    def send(self, method, path, body=None):
        data = None if method != "POST" else body if body is not None else {}
        response, text = call(self.url, self.session + path, data, method=method)
        value = json.loads(text)["value"]
        assert response.status == 200, value
        return value

    def close(self):
        try:
            self.send("DELETE", "")
        finally:
            self.driver.stop()

    def open(self, url):
        self.send("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """What `script`, a function's body, returns or promises."""
        return self.send("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def command(self, name, **parameters):
        """Of Chromium's own protocol."""
        return self.send("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def see(self, width, height, scheme, mobile=False):
        """A window of this size, on a system that is `light` or `dark`."""
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path, whole=False):
        taken = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        pathlib.Path(path).write_bytes(base64.b64decode(taken["data"]))

    def press(self, keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.send("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.innerText ?? null", selector)

    def complaints(self):
        """What the console has said since the last look: a policy that was broken, an error of a script."""
        return [entry["message"] for entry in self.send("POST", "/se/log", {"type": "browser"})
                if entry["level"] in ("SEVERE", "WARNING")]


@contextlib.contextmanager
def running_browser(folder):
    browser = Browser(folder)
    try:
        yield browser
    finally:
        browser.close()
