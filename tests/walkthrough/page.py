"""A page of the walkthrough: its blocks of commands, and their expected output.

A block begins with ```console, which may be followed by keywords:

    cluster      it needs a cluster
    terminal-2   it runs in the background until the chapter ends

In it, a line `$ COMMAND` is run, with its continuation if it ends in a backslash; the lines
below are the expected output. `~ $ COMMAND` is typed into the shell that the command above
has opened. What varies is a name between angle brackets, which matches one field; whole
lines cannot be skipped.

`<!-- check: COMMAND => OUTPUT -->` is run by `scripts/walkthrough check` after the chapter.
"""

import re
from dataclasses import dataclass, field

FENCE = re.compile(r"^```console(?P<words>[ a-z0-9-]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
CHECK = re.compile(r"^<!-- check: (.*?) => (.*?) -->$", re.MULTILINE)
WORDS = {"cluster", "terminal-2"}
PROMPT, INNER = "$ ", "~ $ "

# A field that differs from one time to the next.
FIELDS = {
    "<AGE>": r"(?:\d+[smhd])+",
    "<BUILD>": r"[\w.:+~-]+",
    "<DATE>": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    "<DAY>": r"\w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} GMT",
    "<IP>": r"\d+\.\d+\.\d+\.\d+|[0-9a-f:]+",
    "<MS>": r"\d+\.\d+",
    "<NUMBER>": r"\d+",
    "<POD>": r"secure-monolith-[0-9a-z]+-[0-9a-z]{5}",
    "<SECONDS>": r"\d+\.\d+",
    "<SERIAL>": r"[0-9A-F]+",
    "<TIME>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    "<TOKEN>": r"[\w-]+\.[\w-]+\.[\w-]+",
    "<VERSION>": r"\d+\.\d+\.\d+",
}


class PageError(Exception):
    """A page that cannot be parsed."""


@dataclass
class Step:
    command: str
    expected: list = field(default_factory=list)
    typed: list = field(default_factory=list)


@dataclass
class Block:
    words: frozenset
    steps: list
    line: int


def blocks(text):
    found = []
    for match in FENCE.finditer(text):
        words = frozenset(match["words"].split())
        line = text.count("\n", 0, match.start()) + 1
        if words - WORDS:
            raise PageError(f"line {line}: unknown words {sorted(words - WORDS)}")
        found.append(Block(words, steps(match["body"], line), line))
    return found


def steps(body, line):
    found = []
    lines = iter(body.splitlines())
    for each in lines:
        if each.startswith(PROMPT):
            command = each.removeprefix(PROMPT)
            while command.endswith("\\"):
                command += "\n" + next(lines)
            found.append(Step(command))
        elif not found:
            raise PageError(f"line {line}: a block begins with a command")
        else:
            if each.startswith(INNER):
                found[-1].typed.append(each.removeprefix(INNER))
            found[-1].expected.append(each)
    return found


def checks(text):
    return CHECK.findall(text)


def differs(expected, printed):
    """The first difference between lines, or None. Empty lines do not count."""
    expected = [line for line in expected if line.strip()]
    printed = [line for line in printed if line.strip()]
    for number, line in enumerate(expected):
        if number >= len(printed):
            return f"nothing, instead of: {line}"
        if not re.fullmatch(pattern(line), printed[number].rstrip()):
            return f"{printed[number]}\n  instead of: {line}"
    if len(printed) > len(expected):
        return f"more than the page shows: {printed[len(expected)]}"
    return None


def pattern(line):
    """Columns of a table are as wide as their widest field, so two spaces are any number."""
    escaped = re.sub(r"(?:\\ ){2,}", r" +", re.escape(line.rstrip()))
    for name, expression in FIELDS.items():
        escaped = escaped.replace(re.escape(name), f"(?:{expression})")
    return escaped
