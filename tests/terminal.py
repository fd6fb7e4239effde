"""A command in a terminal of its own."""

import contextlib
import os
import pty
import signal
import threading

from conftest import NEVER, ROOT, wait_for


class Terminal:
    def __init__(self, *command, environment=None):
        self.received = b""
        self.code = None
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            # Also where the tests were started by nohup.
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.chdir(ROOT)
            os.execvpe(command[0], command, environment or os.environ)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the last program has closed the terminal
                return
            self.received += data

    @property
    def output(self):
        """All of it. One read may end in the middle of a character or of a line's end."""
        return self.received.decode(errors="replace").replace("\r\n", "\n")

    def wait_for(self, text, seconds=NEVER):
        wait_for(lambda: text in self.output or self.ended(), f"{text!r} in the terminal", seconds)
        assert text in self.output, self.output

    def type(self, keys):
        os.write(self.master, keys.encode())

    def ended(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def exit_code(self):
        wait_for(self.ended, "end of the command")
        self.reader.join(2)
        return self.code

    def close(self):
        """Stops what a test has left running; the programs stop with their script."""
        if not self.ended():
            # Asked before the first ends: then it is 0, the group of the tests themselves.
            for group in {self.pid, os.tcgetpgrp(self.master)} - {0}:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGTERM)
            self.exit_code()
        os.close(self.master)
