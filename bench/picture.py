"""The picture: a panel of horizontal bars for each figure. SVG, readable on a light
and on a dark page."""

from html import escape
from statistics import median

from columns import ROWS
from statistic import HIGHER
from table import MASKED, OWN, cell, of_row

COLUMNS = 3
PANEL, GAP = 290, 22
LABEL, VALUE = 94, 70
BAR, STEP, HEAD = 11, 16, 40
TOP, SIDE = 74, 20

STYLE = """
text { font: 11px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.title { font-size: 17px; font-weight: 600; }
.panel { font-size: 12.5px; font-weight: 600; }
.note { fill: #59636e; }
.page { fill: #ffffff; }
.own { font-weight: 700; }
.bar { fill: #afb8c1; }
.mine { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .page { fill: #0d1117; }
  .bar { fill: #57606a; }
  .mine { fill: #4493f8; }
}
"""


def draw(results, names, processor):
    """The whole picture, of the rows that have figures."""
    legend = f"processor: {processor}"
    if OWN + MASKED in names:
        legend += f"; {OWN}{MASKED}: as on one without VAES and AVX-512"
    rows = [row for row in ROWS if row.shown and of_row(results, row, names)]
    high = HEAD + STEP * len(names) + GAP
    lines = -(-len(rows) // COLUMNS)
    width = 2 * SIDE + COLUMNS * PANEL + (COLUMNS - 1) * GAP
    height = TOP + lines * high
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="tls-proxy beside its peers">',
        f"<style>{STYLE}</style>",
        # Its own background: the page may have the other color scheme.
        f'<rect class="page" width="{width}" height="{height}" rx="8"/>',
        text(SIDE, 28, "tls-proxy beside its peers", "title"),
        text(SIDE, 46, "one core for each proxy, TLS 1.3, access log on; CPU s: a second of the "
             "proxy’s CPU time; hyper: a forwarder without any feature", "note"),
        text(SIDE, 62, legend, "note"),
    ]
    for number, row in enumerate(rows):
        x = SIDE + number % COLUMNS * (PANEL + GAP)
        y = TOP + number // COLUMNS * high
        parts += panel(x, y, row, results, names)
    return "\n".join([*parts, "</svg>", ""])


def text(x, y, words, kind="", anchor="start"):
    kind = f' class="{kind}"' if kind else ""
    anchor = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y:g}"{kind}{anchor}>{escape(words)}</text>'


def panel(x, y, row, results, names):
    arrow = "longer is better" if row.better == HIGHER else "shorter is better"
    yield text(x, y + 16, row.title, "panel")
    yield text(x, y + 31, f"{row.unit}; {arrow}", "note")
    figures = {name: median(rounds) for name, rounds in of_row(results, row, names).items()}
    most = max(figures.values()) or 1
    room = PANEL - LABEL - VALUE
    for number, name in enumerate(names):
        at = y + HEAD + STEP * number
        own = name.startswith(OWN)
        yield text(x + LABEL - 6, at + 10, name, "own" if own else "", "end")
        value = figures.get(name)
        length = 0 if value is None else max(room * value / most, 1)
        if value is not None:
            kind = "mine" if own else "bar"
            yield (f'<rect class="{kind}" x="{x + LABEL}" y="{at + 0.5:g}" width="{length:.1f}" '
                   f'height="{BAR}" rx="2"/>')
        yield text(x + LABEL + length + 5, at + 10, cell(results, row, name), "own" if own else "note")
