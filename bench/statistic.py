"""Arithmetic of the table, without a word about what is measured."""

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
    """The best of {name: value}; its name, None if there is none."""
    choose = max if better == HIGHER else min
    return choose(values, key=values.get, default=None)


def advantage(own, other, better):
    """How many times better `own` is than `other`: 1.2 is a fifth better,
    whichever way is better."""
    over, under = (own, other) if better == HIGHER else (other, own)
    return over / under if under else math.inf
