"""Arithmetic of the table, independent of what is measured."""

import math
import statistics

HIGHER, LOWER = "more is better", "less is better"


def percentile(values, part):
    """The smallest of `values` that `part` (0 to 1) of them do not exceed
    (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(part * len(ordered)), 1) - 1]


def medians(results):
    """From {(measure, name): values} to {(measure, name): median}."""
    return {key: statistics.median(values) for key, values in results.items() if values}


def best(values, better):
    """The name of {name: values} whose median is the best; None if there is none."""
    choose = max if better == HIGHER else min
    return choose(values, key=lambda name: statistics.median(values[name]), default=None)


def advantage(own, other, better):
    """How many times better the rounds of `own` are than those of `other`: 1.2 is a
    fifth better, whichever way is better. The median of the rounds' own ratios:
    other programs on a shared machine slow down both of a round."""
    over, under = (own, other) if better == HIGHER else (other, own)
    return statistics.median(o / u if u else math.inf for o, u in zip(over, under))
