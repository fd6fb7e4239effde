"""Runs the blocks of a page in a shell, and compares the output."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from contextlib import suppress

from page import differs

MARK = "--end-of-the-command--"
# Seconds for a command, and for a command of the second terminal to print its first lines.
LIMIT, START = 180, 60


class Difference(Exception):
    """The output is not that of the page."""


class Player:
    """A terminal, and a second one behind it. `environment` leads to the cluster."""

    def __init__(self, folder, environment, has_cluster, report=print):
        self.folder, self.environment, self.has_cluster, self.report = folder, environment, has_cluster, report
        self.shell = subprocess.Popen(["bash"], cwd=folder, env=environment, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
                                      start_new_session=True)
        self.background = []
        self.played = self.left_out = 0

    def play(self, page, blocks):
        try:
            for block in blocks:
                if "cluster" in block.words and not self.has_cluster:
                    self.left_out += len(block.steps)
                    self.report(f"{page}:{block.line}: left out, it needs a cluster")
                    continue
                for step in block.steps:
                    self.step(f"{page}:{block.line}", block, step)
        finally:
            for process in self.background:
                process.terminate()
                process.wait()
            self.background.clear()

    def step(self, place, block, step):
        self.report(f"{place}: $ {step.command}")
        if "terminal-2" in block.words:
            printed, status = self.start(step), 0
        elif step.typed:
            printed, status = self.type(step), 0
        else:
            printed, status = self.run(step.command)
        difference = differs(step.expected, printed)
        if difference is None and status and not step.expected:
            difference = f"ended with {status}"
        if difference:
            everything = "\n  | ".join(["", *printed])
            raise Difference(f"{place}: $ {step.command}\n  {difference}\nall of it:{everything}")
        self.played += 1

    def run(self, command):
        self.shell.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n%s %d\\n' {MARK} $?\n".encode())
        self.shell.stdin.flush()
        text, end = b"", time.monotonic() + LIMIT
        while not (ended := re.search(rb"\n" + MARK.encode() + rb" (\d+)\n\Z", text)):
            if not select.select([self.shell.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise Difference(f"$ {command}\n  has not ended in {LIMIT} s")
            data = os.read(self.shell.stdout.fileno(), 65536)
            if not data:
                raise Difference(f"$ {command}\n  has ended the shell")
            text += data
        return text[:ended.start()].decode().splitlines(), int(ended[1])

    def start(self, step):
        """In the second terminal. Returns when it has opened its files and printed what is expected."""
        opened, opening = os.pipe()
        # The last redirection of all: it closes the pipe after the command's own ones.
        process = subprocess.Popen(["bash", "-c", f"exec {step.command} {opening}>&-"], cwd=self.folder,
                                   env=self.environment, pass_fds=[opening], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.background.append(process)
        os.close(opening)
        end = time.monotonic() + START
        select.select([opened], [], [], START)
        os.close(opened)
        descriptor = process.stdout.fileno()
        text = b""
        while text.count(b"\n") < len(step.expected) and time.monotonic() < end:
            if select.select([descriptor], [], [], 1)[0]:
                data = os.read(descriptor, 65536)
                if not data:
                    break
                text += data
        return text.decode().splitlines()[:len(step.expected)]

    def type(self, step):
        """In a terminal that a program reads."""
        pid, master = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe("bash", ["bash", "-c", step.command], {**self.environment, "TERM": "dumb"})
        raw, text, end = b"", "", time.monotonic() + LIMIT
        waiting = list(step.typed)
        while time.monotonic() < end:
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                raw += os.read(master, 65536)
            except OSError:  # it has ended
                break
            # All of it anew: one read may end in the middle of a character or a sequence.
            text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", raw.decode(errors="replace")).replace("\r", "")
            if waiting and text.endswith("~ $ "):
                os.write(master, f"{waiting.pop(0)}\n".encode())
        else:
            os.kill(pid, signal.SIGKILL)
            text += f"\nhas not ended in {LIMIT} s"
        os.waitpid(pid, 0)
        os.close(master)
        return text.splitlines()

    def close(self):
        """Stops the shell, and what its commands have left in the background."""
        self.shell.stdin.close()
        with suppress(ProcessLookupError):
            os.killpg(self.shell.pid, signal.SIGTERM)
        self.shell.wait()
