"""The counts of the clients."""

import asyncio
import collections
import json
import random
import ssl


class Failed(Exception):
    """A request got no response, or a wrong one."""


# Errors of network and TLS while a response is pending.
BROKEN = (OSError, EOFError, ssl.SSLError, asyncio.IncompleteReadError)


class Tally:
    """Requests of one kind."""

    def __init__(self):
        self.requests = self.failed = self.connections = self.messages = 0
        # Not failures: the peer closed an idle connection, or had announced that
        # it would; a stream that the client has to retry after GOAWAY.
        self.closed_idle = self.told_to_close = self.retried = 0
        self.reasons = collections.Counter()

    def fail(self, error):
        self.failed += 1
        self.reasons[f"{type(error).__name__}: {error}"[:200]] += 1

    def figures(self):
        return dict(vars(self))


class Tallies:
    """All kinds, and the end of the run."""

    def __init__(self, limit, pace):
        self.kinds = collections.defaultdict(Tally)
        self.limit, self.pace = limit, pace
        self.stopping = asyncio.Event()

    def running(self):
        return not self.stopping.is_set() and self.total() < self.limit

    def total(self):
        return sum(tally.requests for tally in self.kinds.values())

    def breath(self, longest):
        """How long a client waits before its next request, in seconds."""
        return random.uniform(0, longest * self.pace)

    async def pause(self, longest):
        """Sleeps for a moment, but not beyond the end."""
        try:
            await asyncio.wait_for(self.stopping.wait(), self.breath(longest))
        except asyncio.TimeoutError:
            pass

    def show(self):
        print(json.dumps({kind: tally.figures() for kind, tally in self.kinds.items()}), flush=True)
