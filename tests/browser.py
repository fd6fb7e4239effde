"""A headless Chromium, driven over a pair of pipes with its DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import suppress

CHROMIUM = shutil.which("chromium")


class Browser:
    """One browser with one page in it. Use it as a context."""

    def __init__(self, profile):
        self.number, self.events = 0, []
        its_input, self.output = os.pipe()
        self.input, its_output = os.pipe()
        self.process = subprocess.Popen(
            ["bash", "-c", 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"', "-", str(its_input), str(its_output),
             CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*", "--ignore-certificate-errors",
             f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=(its_input, its_output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(its_input)
        os.close(its_output)
        self.received, self.session = b"", None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session = None
        try:
            # It may have ended before it has said so.
            with suppress(AssertionError, OSError, subprocess.TimeoutExpired):
                self("Browser.close")
                self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.output)
            os.close(self.input)

    def __call__(self, method, **parameters):
        """The result of one command. Events that arrive meanwhile are added to `events`."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.output, json.dumps(command).encode() + b"\0")
        while True:
            message = self.receive()
            if message.get("id") == self.number:
                assert "error" not in message, (method, message)
                return message["result"]
            self.events.append(message)

    def receive(self):
        while b"\0" not in self.received:
            more = os.read(self.input, 1 << 20)
            assert more, "the browser has ended"
            self.received += more
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def run(self, script):
        """The value of an expression, in the page."""
        result = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, script, seconds=60):
        """The first true value of an expression, in the page."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.run(script)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"{script} did not come true: {self.run('document.body.innerText')}")

    def open(self, url):
        self("Page.navigate", url=url)
        self.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState == 'complete'")

    def show(self, scheme="light", width=800, height=600):
        """Sets color scheme and size, in CSS pixels."""
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
             mobile=width < 600)

    def type(self, text):
        self("Input.insertText", text=text)

    def press(self, key, code, **more):
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def picture(self):
        """The whole page as PNG."""
        return base64.b64decode(self("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"])
