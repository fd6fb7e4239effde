"""A tls-proxy under valgrind's callgrind, and what callgrind writes."""

import re
from collections import Counter

from contestants import Configured


class Counted(Configured):
    """A tls-proxy under callgrind, its access log on."""

    def __init__(self, number, work, binary, *options):
        super().__init__(f"counted-{number}", number, work, binary)
        self.out = self.work / f"callgrind.{number}"
        self.options = options

    def command(self):
        out = f"--callgrind-out-file={self.out}"
        return ["valgrind", "--tool=callgrind", *self.options, out, *super().command()]


def read(path):
    """Of each function: own instructions, those with all it calls, and calls.
    callgrind's file: https://valgrind.org/docs/manual/cl-format.html."""
    own, whole, calls, names = Counter(), Counter(), Counter(), {}
    function, called = "", None
    for line in path.read_text(errors="replace").splitlines():
        found = re.match(r"(c?fn)=\((\d+)\)(?: (.*))?$", line)
        if found:
            kind, number, name = found.groups()
            if name:
                names[number] = name
            if kind == "fn":
                function = names[number]
            else:
                called = names[number]
        elif line.startswith("calls="):
            calls[called] += int(line[6:].split()[0])
        elif line[:1].isdigit() or line[:1] in "+-*":
            cost = sum(map(int, line.split()[1:]))
            whole[function] += cost if called != function else 0
            # The line after `calls=` has the cost of the call.
            own[function] += cost if called is None else 0
            called = None
    return own, whole, calls
