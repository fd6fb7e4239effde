"""monolith and plain hyper, in plain text. Beside each other they are measured; alone,
monolith is loaded for its profile."""

import socket
import time

from contestants import BACKEND
from processes import Watched, run

MONOLITH, HEALTH, HYPER = BACKEND + 1, BACKEND + 2, BACKEND + 3


class Service(Watched):
    """monolith, or plain hyper with its response; in plain text."""

    def __init__(self, name, work, port, command):
        super().__init__(name, work)
        self.port, self.words = port, command
        self.url = f"http://127.0.0.1:{port}"

    def command(self):
        return self.words

    def start(self):
        self.launch()
        for _ in range(500):
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
        self.fail("did not start")


class Monolith(Service):
    def __init__(self, work, program):
        super().__init__("monolith", work, MONOLITH, [
            program, f"-http=127.0.0.1:{MONOLITH}", f"-health=127.0.0.1:{HEALTH}", "-secret=secret"])
        self.health = f"http://127.0.0.1:{HEALTH}"

    def authorization(self):
        """The header field with a token, which a login gets."""
        token = run(["curl", "-sSf", "-u", "user:password", f"{self.url}/login"]).split('"')[3]
        return f"Authorization: Bearer {token}"
