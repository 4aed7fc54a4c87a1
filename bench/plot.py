# SPDX-License-Identifier: BSD-2-Clause
"""Charts as SVG: bars and lines with medians, and a thin bar from the lowest to the highest run."""
import html
import math

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 74, 24, 74, 98
PAPER, INK, FAINT, GRID = '#ffffff', '#1c2430', '#667080', '#e3e7ec'
FONT = 'DejaVu Sans, Helvetica, Arial, sans-serif'
# Told apart by people who do not see all colours, and in print (Okabe and Ito).
COLOURS = {'atlas': '#0072b2', 'atlas-ram': '#56b4e9', 'nginx': '#d55e00', 'nginx-2': '#e69f00',
           'nginx-3': '#cc79a7', 'nginx-4': '#b39b3b', 'raw': '#8a929c', 'raw-2': '#b9c0c8'}


class Value:
    """A median with the lowest and the highest of its runs."""

    def __init__(self, median, low, high):
        self.median, self.low, self.high = median, low, high


class Page:
    def __init__(self, title, subtitle, height=HEIGHT):
        self.height = height
        self.parts = []
        self.text(LEFT, 28, title, size=17, weight='bold')
        self.text(LEFT, 48, subtitle, size=12, fill=FAINT)

    def add(self, name, **attributes):
        words = ' '.join('%s="%s"' % (k.replace('_', '-'), fmt(v)) for k, v in attributes.items())
        self.parts.append('<%s %s/>' % (name, words))

    def text(self, x, y, words, size=12, fill=INK, anchor='start', weight='normal', turn=None):
        where = ' transform="rotate(%d %s %s)"' % (turn, fmt(x), fmt(y)) if turn else ''
        self.parts.append(
            '<text x="%s" y="%s" font-size="%d" fill="%s" text-anchor="%s" font-weight="%s"%s>%s'
            '</text>' % (fmt(x), fmt(y), size, fill, anchor, weight, where, html.escape(words)))

    def line(self, x1, y1, x2, y2, stroke=GRID, width=1.0):
        self.add('line', x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, stroke_width=width)

    def spread(self, x, low_y, high_y, stroke=INK):
        for y in (low_y, high_y):
            self.line(x - 4, y, x + 4, y, stroke, 1.2)
        self.line(x, low_y, x, high_y, stroke, 1.2)

    def legend(self, entries):
        x, y = LEFT, self.height - 34
        for name, colour in entries:
            width = 34 + 6.9 * len(name)
            if x + width > WIDTH:
                x, y = LEFT, y + 20
            self.add('rect', x=x, y=y - 10, width=12, height=12, fill=colour, rx=2)
            self.text(x + 17, y, name)
            x += width

    def write(self, path):
        with open(path, 'w') as f:
            f.write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" '
                    'height="%d" font-family="%s">\n' % (WIDTH, self.height, WIDTH, self.height,
                                                         FONT))
            f.write('<rect width="100%%" height="100%%" fill="%s"/>\n' % PAPER)
            f.write('\n'.join(self.parts) + '\n</svg>\n')


def fmt(v):
    return '%.1f' % v if isinstance(v, float) else str(v)


def number(v):
    return '%.0f' % v if v >= 100 else '%.1f' % v if v >= 10 else '%.2f' % v


def ticks(highest):
    """Round numbers from 0 up to at least `highest`, four to eight of them."""
    if highest <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(highest))
    for factor in (0.1, 0.2, 0.25, 0.5, 1):
        if highest / (step * factor) <= 7:
            step *= factor
            break
    return [i * step for i in range(math.ceil(highest / step - 1e-9) + 1)]


def vertical_axis(page, highest, label):
    """Draws the axis and returns the function from a value to its place."""
    marks = ticks(highest)
    bottom = page.height - BOTTOM

    def place(value):
        return bottom - (bottom - TOP) * value / marks[-1]
    for mark in marks:
        page.line(LEFT, place(mark), WIDTH - RIGHT, place(mark), INK if mark == 0 else GRID)
        page.text(LEFT - 8, place(mark) + 4, '%g' % round(mark, 6), anchor='end', fill=FAINT)
    page.text(20, (TOP + bottom) / 2, label, anchor='middle', fill=FAINT, turn=-90)
    return place


def bars(path, title, subtitle, label, groups, series):
    """`groups`: names on the horizontal axis. `series`: (name, colour, one Value or None each)."""
    page = Page(title, subtitle)
    values = [v for _, _, row in series for v in row if v]
    place = vertical_axis(page, max((v.high for v in values), default=1), label)
    room = (WIDTH - LEFT - RIGHT) / len(groups)
    width = min(room * 0.86 / len(series), 76.0)
    for g, group in enumerate(groups):
        shown = [(colour, row[g]) for _, colour, row in series if row[g]]
        x = LEFT + room * (g + 0.5) - width * len(shown) / 2
        for colour, value in shown:
            top = place(value.median)
            page.add('rect', x=x + 3, y=top, width=width - 6, height=place(0) - top, fill=colour,
                     rx=2)
            page.spread(x + width / 2, place(value.low), place(value.high))
            page.text(x + width / 2, place(value.high) - 6, number(value.median), size=11,
                      anchor='middle')
            x += width
        page.text(LEFT + room * (g + 0.5), page.height - BOTTOM + 20, group, anchor='middle')
    page.legend([(name, colour) for name, colour, _ in series])
    page.write(path)


def lines(path, title, subtitle, label, x_label, xs, series, labels=None):
    """`xs`: the places on a logarithmic axis, of which `labels` (all) are written below it.
    `series`: (name, colour, one Value or None each)."""
    page = Page(title, subtitle)
    values = [v for _, _, row in series for v in row if v]
    place = vertical_axis(page, max((v.high for v in values), default=1), label)
    low, high = math.log10(xs[0]), math.log10(xs[-1])
    span = WIDTH - LEFT - RIGHT - 60

    def across(x):
        return LEFT + 30 + span * ((math.log10(x) - low) / (high - low) if high > low else 0.5)
    for x in xs:
        page.line(across(x), place(0), across(x), place(0) + 5, INK)
        if labels is None or x in labels:
            page.text(across(x), place(0) + 20, '{:,}'.format(x), anchor='middle')
    page.text((LEFT + WIDTH - RIGHT) / 2, place(0) + 42, x_label, anchor='middle', fill=FAINT)
    for _, colour, row in series:
        points = [(across(x), v) for x, v in zip(xs, row) if v]
        page.add('polyline', points=' '.join('%.1f,%.1f' % (x, place(v.median)) for x, v in points),
                 fill='none', stroke=colour, stroke_width=2.5)
        for x, v in points:
            page.add('circle', cx=x, cy=place(v.median), r=4.5, fill=colour, stroke=PAPER,
                     stroke_width=1.5)
            page.spread(x, place(v.low), place(v.high), colour)
    page.legend([(name, colour) for name, colour, _ in series])
    page.write(path)
