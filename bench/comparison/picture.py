"""The picture of bench/tails: one mark a second, in the colour of what happened in it."""

import math
from html import escape

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 56, 44
# Told apart by colour and by shape.
COLOURS = ("#c2410c", "#0369a1", "#15803d", "#7e22ce")
STYLE = """
:root { color-scheme: light dark }
svg { background: #fff } text { font: 12px system-ui, sans-serif; fill: #1f2937 }
.title { font-size: 15px; font-weight: 600 } .grid { stroke: #e5e7eb } .rest { fill: #9ca3af }
@media (prefers-color-scheme: dark) {
  svg { background: #111827 } text { fill: #e5e7eb } .grid { stroke: #374151 } .rest { fill: #6b7280 }
}
"""


def mark(index, x, y):
    """A shape of its own for each kind of event."""
    colour = COLOURS[index]
    if index == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
    corners = {1: 4, 2: 3, 3: 6}[index]
    points = (f"{x + 5 * math.sin(2 * math.pi * k / corners):.1f},"
              f"{y - 5 * math.cos(2 * math.pi * k / corners):.1f}" for k in range(corners))
    return f'<polygon points="{" ".join(points)}" fill="{colour}"/>'


def tails(windows, rows, kinds):
    """An SVG of (p99.9 in us, events) by second, on a logarithmic scale."""
    low = 10 ** math.floor(math.log10(max(min(p999 for p999, _ in windows), 1)))
    high = 10 ** math.ceil(math.log10(max(p999 for p999, _ in windows)))
    span = math.log10(high / low) or 1

    def across(second):
        return LEFT + (WIDTH - LEFT - RIGHT) * (second + 0.5) / len(windows)

    def down(p999):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log10(max(p999, low) / low) / span

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
           f"<style>{STYLE}</style>",
           f'<text class="title" x="{LEFT}" y="20">p99.9 of each second, by what happened in it (x: over the seconds without)</text>']
    decade = low
    while decade <= high:
        for step in (1, 2, 5):
            y = down(decade * step)
            if decade * step <= high:
                out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
                out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                           f"{decade * step / 1000:g} ms</text>")
        decade *= 10
    for part in range(0, 11):
        second = len(windows) * part // 10
        out.append(f'<text x="{across(second - 0.5):.1f}" y="{HEIGHT - BOTTOM + 18}" '
                   f'text-anchor="middle">{second} s</text>')
    x = LEFT
    for index, kind in enumerate(kinds):
        _, count, median, ratio = rows[index + 1]
        told = f"{kind}: {count} s" + (f", {ratio:.2f} x" if ratio else "")
        out.append(mark(index, x + 5, 38))
        out.append(f'<text x="{x + 14}" y="42">{escape(told)}</text>')
        x += 215
    for second, (p999, happened) in enumerate(windows):
        if not happened:
            out.append(f'<circle class="rest" cx="{across(second):.1f}" cy="{down(p999):.1f}" r="1.8"/>')
    for second, (p999, happened) in enumerate(windows):
        for index, kind in enumerate(kinds):
            if kind in happened:
                out.append(mark(index, across(second), down(p999)))
    return "\n".join([*out, "</svg>"]) + "\n"
