#!/usr/bin/env python3
"""Attacks a server that runs with a container's limits, and prints the results.

  run.py [--program FILE] [--nginx FILE] [--memory 10Mi,32Mi] [ATTACK...]

Without names, all attacks. Each has a network namespace, a process namespace and a
cgroup of its own; --jobs of them run at once. Needs root and a memory controller.
Exit code 1: the program did not pass.
"""

import argparse
import concurrent.futures
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import verdicts
from attack import load, names
from group import ROOT as ROOT_GROUP
from group import Group, Unavailable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAMS = ROOT / os.environ.get("PROGRAMS", "target/programs")
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
# Seconds to start, warm up and stop, besides the attack's own.
OVERHEAD = 240
# All processes end with this one, however it ends.
NAMESPACES = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


@dataclass(frozen=True)
class Run:
    attack: str
    configuration: str
    memory: str
    kind: str  # tls-proxy, monolith, nginx
    program: Path
    seconds: float
    after: float  # seconds to wait for memory to be returned; 0: do not


def size(text):
    return int(text[:-2]) * UNITS[text[-2:]] if text[-2:] in UNITS else int(text)


def unavailable():
    """Why attacks cannot run here; None if they can."""
    try:
        Group(f"attacks-{os.getpid()}-probe", 64 << 20).remove()
    except Unavailable as error:
        return str(error)
    tried = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, check=False)
    return f"no namespaces: {tried.stderr.strip()}" if tried.returncode else None


def remove_groups(pattern):
    """Removes those that match and have no process."""
    for folder in [*ROOT_GROUP.glob(pattern), *ROOT_GROUP.glob(f"*/{pattern}")]:
        owner = int(folder.name.split("-")[1])
        if owner == os.getpid() or not Path(f"/proc/{owner}").exists():
            try:
                folder.rmdir()
            except OSError:
                pass


def carry_out(run):
    """Runs it and returns the result."""
    work = Path(tempfile.mkdtemp(prefix="attack-"))
    group = f"attack-{os.getpid()}-{work.name}"
    wanted = {"attack": run.attack, "configuration": run.configuration, "memory": size(run.memory),
              "kind": run.kind, "program": str(run.program), "seconds": run.seconds,
              "after": run.after, "work": str(work), "group": group}
    said = {"attack": run.attack, "configuration": run.configuration, "memory": run.memory,
            "program": run.kind}
    try:
        done = subprocess.run(
            [*NAMESPACES, sys.executable, HERE / "one.py", json.dumps(wanted)],
            capture_output=True, text=True, check=False, timeout=run.seconds + run.after + OVERHEAD)
        if done.returncode:
            return said | {"broken": (done.stderr or done.stdout)[-1500:]}
        return said | json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return said | {"broken": "timed out"}
    finally:
        shutil.rmtree(work, ignore_errors=True)
        remove_groups(group)


def programs(options, declared):
    """(kind, program) of each program that an attack is for."""
    if declared.program == "monolith":
        return [("monolith", options.program.with_name("monolith"))] * options.ours
    ours = [("tls-proxy", options.program)] * options.ours
    return ours + [("nginx", options.nginx)] * (options.nginx is not None and declared.nginx)


def planned(options):
    for name in options.attack or names():
        declared = load(name).ATTACK
        if options.short and not declared.short:
            continue
        memory = declared.short if options.short else declared.memory or options.memory.split(",")
        chosen = declared.configurations[:1] if options.short else declared.configurations
        seconds = options.seconds or declared.seconds[0 if options.short else 1]
        after = options.after if not options.short or declared.after else 0
        for configuration in chosen:
            for limit in memory:
                for kind, program in programs(options, declared):
                    yield Run(name, configuration, limit, kind, program, seconds, after)


def absolute(path):
    """The absolute path of an argument: the server is started in another directory."""
    return Path(path).absolute()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("attack", nargs="*", help="names of files in attacks/, without .py")
    parser.add_argument("--program", type=absolute, default=PROGRAMS / "tls-proxy",
                        help="the release build; monolith is in the same directory")
    parser.add_argument("--nginx", type=absolute, help="an nginx to attack as well")
    parser.add_argument("--only-nginx", dest="ours", action="store_false", help="attack nginx alone")
    parser.add_argument("--memory", default="10Mi,32Mi", help="comma-separated limits")
    parser.add_argument("--seconds", type=float, help="how long each attack lasts")
    parser.add_argument("--after", type=float, default=30,
                        help="seconds until memory is measured again; 0: never")
    parser.add_argument("--short", action="store_true", help="as in `make test`")
    parser.add_argument("--jobs", type=int, default=1, help="attacks at once")
    parser.add_argument("--record", type=Path, help="append each result to this file, as a line of JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as markdown")
    parser.add_argument("--before", type=Path, help="earlier results, for another column")
    parser.add_argument("--show", type=Path, action="append",
                        help="only print what --record has written")
    parser.add_argument("--list", action="store_true", help="print the rows of the attacks for docs/attacks.md")
    return parser.parse_args()


def main():
    options = arguments()
    if options.list:
        for name in names():
            print(f"| `{name}` | {verdicts.sentence(name)} |")
        return 0
    if options.show:
        return conclude(options, [result for path in options.show for result in verdicts.read(path)])
    reason = unavailable()
    if reason:
        print(f"attacks skipped: {reason}")
        return 0
    # Left by a run that was killed.
    remove_groups("attack-*")
    # For all processes that are started.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        coming = [pool.submit(carry_out, run) for run in planned(options)]
        for future in concurrent.futures.as_completed(coming):
            result = future.result()
            results.append(result)
            print(verdicts.line(result), file=sys.stderr, flush=True)
            if options.record:
                with options.record.open("a") as file:
                    file.write(json.dumps(result) + "\n")
    return conclude(options, results)


def conclude(options, results):
    """Prints the table and returns the exit code."""
    order = {name: place for place, name in enumerate(names())}
    results.sort(key=lambda result: (order[result["attack"]], verdicts.key(result)))
    before = verdicts.read(options.before) if options.before else []
    print(verdicts.markdown(results, before) if options.markdown else verdicts.plain(results))
    return int(any(verdicts.faults(result) for result in results if result["program"] != "nginx"))


if __name__ == "__main__":
    sys.exit(main())
