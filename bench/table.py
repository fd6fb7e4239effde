"""The table, as Markdown: a row for each figure, a column for each contestant, and
how our figure compares with the best peer and with its target. Its caption names the
processor."""

from statistics import median

from columns import ROWS, AtLeast, Either
from processor import AVX512
from statistic import HIGHER, advantage, best

OWN, BASELINE = "tls-proxy", "hyper"
# Suffix of our program's name if AVX-512 is masked.
MASKED = "-avx2"


def shown(value):
    """A figure with its significant digits."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def cell(results, row, name):
    """The median of the rounds; unsupported measures have an empty list."""
    values = results.get((row.key, name))
    return "unsupported" if values == [] else shown(median(values)) if values else "-"


def of_row(results, row, names):
    """{name: its figure in each round} of those that have one."""
    return {name: results[row.key, name] for name in names if results.get((row.key, name))}


def peers(names):
    """The peers: neither our programs nor the hyper baseline."""
    return [name for name in names if not name.startswith(OWN) and name != BASELINE]


def is_met(target, row, values, names):
    """Whether our figure reaches a target; None if something is missing."""
    if OWN not in values:
        return None
    if isinstance(target, Either):
        met = [is_met(each, row, values, names) for each in target.targets]
        return True if True in met else None if None in met else False
    if not isinstance(target, AtLeast):
        return median(values[OWN]) <= target.limit
    others = {name: values[name] for name in peers(names) if name in values}
    than = best(others, row.better) if target.than == "best" else target.than
    if than not in others:
        return None
    return advantage(values[OWN], others[than], row.better) >= target.times


def verdict(row, values, names, processor):
    """Whether the targets are met; they are for processors with AVX-512."""
    met = [is_met(target, row, values, names) for target in row.targets]
    if not met:
        return ""
    text = ", ".join(map(str, row.targets))
    if not processor.has_avx512:
        return f"{text}: pending, no {AVX512}"
    if None in met:
        return f"{text}: ?"
    return f"{text}: {'met' if all(met) else '**not met**'}"


def ratio(row, values, names):
    others = {name: values[name] for name in peers(names) if name in values}
    rival = best(others, row.better)
    if rival is None or OWN not in values:
        return "-"
    return f"{advantage(values[OWN], others[rival], row.better):.2f} × {rival}"


def compare(results, names, processor):
    """The table of `make bench`."""
    lines = [f"| {processor} | {' | '.join(names)} | better than the best peer | target |",
             "|---|" + "---:|" * len(names) + "---|---|"]
    for row in ROWS:
        values = of_row(results, row, names)
        if not values:
            continue
        cells = [cell(results, row, name) for name in names]
        cells += [ratio(row, values, names), verdict(row, values, names, processor)]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def before_after(results, before, after):
    """The table of `make bench-quick`."""
    lines = ["| | before | after | after / before | |", "|---|---:|---:|---:|---|"]
    for row in ROWS:
        values = of_row(results, row, (before, after))
        if len(values) < 2:
            continue
        times = advantage(values[after], values[before], row.better)
        word = "" if 0.98 < times < 1.02 else "better" if times > 1 else "worse"
        cells = " | ".join(cell(results, row, name) for name in (before, after))
        lines.append(f"| {row.title}, {row.unit} | {cells} "
                     f"| {times if row.better == HIGHER else 1 / times:.3f} | {word} |")
    return "\n".join(lines)
