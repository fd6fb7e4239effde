"""Evaluates and prints results."""

import ast
import json

from attack import FOLDER

MIB = 1 << 20
# How much larger the resident set may be some time after an attack, in bytes.
LEFT_OVER = 8 * MIB
COLUMNS = ["attack", "configuration", "limit", "program", "load", "peak memory, MiB",
           "new clients served", "slowest, s", "killed", "memory after, MiB", "evicted", "result"]


def faults(result):
    """What is wrong, in words; empty if the program passed."""
    if "unavailable" in result:
        return []
    if "broken" in result:
        return ["the attack itself failed: " + result["broken"].strip().splitlines()[-1]]
    found = []
    if result["kills"]:
        found.append("killed by the kernel")
    elif not result["alive"]:
        found.append("ended")
    elif result["must_answer"] and result["answered"] < result["new_clients"]:
        found.append("new clients starved")
    if result["wrong"]:
        found.append(result["wrong"])
    if result["after"] is not None and result["after"] - result["before"] > LEFT_OVER:
        found.append("memory not returned")
    return found


def verdict(result):
    return ", ".join(faults(result)) or "passed"


def row(result):
    first = [result["attack"].replace("_", " "), result["configuration"], result["memory"], result["program"]]
    if "broken" in result or "unavailable" in result:
        return first + [result.get("unavailable", "")] + [""] * 6 + [verdict(result)]
    after = result["after"]
    return first + [
        result["held"],
        f"{result['peak'] / MIB:.1f} ({result['unreclaimable'] / MIB:.1f} + {result.get('sockets', 0) / MIB:.1f})",
        f"{result['answered']} of {result['new_clients']}{missed(result)}",
        "-" if result["slowest"] is None else f"{result['slowest']:.2f}",
        "yes" if result["kills"] or not result["alive"] else "no",
        "-" if after is None else f"{after / MIB:.1f} ({(after - result['before']) / MIB:+.1f})",
        made_room(result["metrics"]),
        verdict(result),
    ]


def missed(result):
    """Why new clients had no response, unless it was late."""
    parts = [f"{count} {why}" for why, count in result.get("missed", {}).items() if why != "late"]
    return f" ({', '.join(parts)})" if parts else ""


def made_room(metrics):
    """The counters of evicted connections and streams."""
    parts = []
    for name, value in metrics.items():
        short, _, labels = name.partition("{")
        if "made_room" in short or "reclaimed" in short:
            what = labels.partition('"')[2].partition('"')[0]
            parts.append(f"{what or 'idle connections'} {value:.0f}")
    return ", ".join(parts) or "-"


def line(result):
    return " | ".join(row(result))


def plain(results):
    rows = [COLUMNS] + [row(result) for result in results]
    widths = [max(len(cells[at]) for cells in rows) for at in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
                     for cells in rows)


def markdown(results, before=()):
    """A row for each run of our programs: its result, then in short those of the
    program `before` and of nginx."""
    earlier = {key(result): in_short(result) for result in before}
    nginx = {key(result)[:3]: in_short(result) for result in results if result["program"] == "nginx"}
    headings = [name for name in COLUMNS if name != "program"] + ["before"] * bool(earlier) + ["nginx"] * bool(nginx)
    out = [headings, ["---"] * len(headings)]
    for result in results:
        if result["program"] == "nginx":
            continue
        cells = row(result)
        del cells[COLUMNS.index("program")]
        if earlier:
            cells.append(earlier.get(key(result), "-"))
        if nginx:
            cells.append(nginx.get(key(result)[:3], "-"))
        out.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in out)


def in_short(result):
    if "broken" in result or "unavailable" in result:
        return verdict(result)
    return f"{verdict(result)}; {result['answered']} of {result['new_clients']}"


def key(result):
    return tuple(result[name] for name in ("attack", "configuration", "memory", "program"))


def read(path):
    """Results that --record has written; the later one of two of the same run."""
    found = {}
    for text in path.read_text().splitlines():
        result = json.loads(text)
        found[key(result)] = result
    return list(found.values())


def sentence(name):
    """The first sentence of an attack's docstring."""
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())) or ""
    return " ".join(text.split("\n\n")[0].split())
