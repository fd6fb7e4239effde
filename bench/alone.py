"""Measures memory and start of one contestant while no other runs, since they share
libraries."""

import time

from processes import Turns

# Numbers of idle connections at which memory is measured.
FEW, MANY = 1000, 5000
# Seconds until a program is idle.
REST = 0.5


def start(contestant, _):
    first = contestant.start()
    contestant.stop()
    return {"start": first}


def memory(contestant, _):
    """Memory of a program after one response, and of each further idle connection
    after one response, over HTTP/1.1 and, in another process, HTTP/2."""
    figures = idle_connections(contestant, "1.1", "connection")
    return figures | idle_connections(contestant, "2", "h2 connection")


def idle_connections(contestant, version, key):
    """The ten requests at once that open these need ten connections to the backend,
    which count with them and are too few to matter."""
    contestant.start()
    time.sleep(REST)
    idle = contestant.memory()
    figures = {"idle": idle / 1024, "size": contestant.size() / 1e6}
    with Turns(contestant.p256, version=version) as turns:
        turns.say("open", FEW)
        time.sleep(REST)
        figures[f"{key} {FEW}"] = (contestant.memory() - idle) / FEW
        turns.say("open", MANY - FEW)
        time.sleep(REST)
        figures[f"{key} {MANY}"] = (contestant.memory() - idle) / MANY
    contestant.stop()
    return figures


# The start is measured in each round, the memory, which hardly varies, in the first.
ALONE = {"start": start, "memory": memory}
