# SPDX-License-Identifier: BSD-2-Clause
"""What `bench/wan` has seen, as medians, ratios, tables and maps.

A ratio is how much better atlas is than Linux: its goodput by that of Linux, or the time that
Linux takes for a short object by the time that atlas takes. 1 is as good, 2 is twice as good.
"""
import json
import math
import os
import statistics

import plot
from wan_cells import LOSSES, SERVERS, SHORT_TIMEOUT_S

GOOD_ENOUGH = 0.95
FAIR_SHARE, FAIR_WITHIN = 0.5, 0.2  # the share of ours, and how far from it is still fair
METRICS = {'goodput': 'long downloads: goodput, Mbit/s', 'short': 'short downloads: seconds'}
NAMES = {'goodput': 'Goodput of long downloads', 'short': 'Speed of short downloads'}
CELL_W, CELL_H, PANEL_GAP = 50, 28, 24
COLD, EVEN, WARM = (213, 94, 0), (247, 247, 247), (0, 114, 178)  # worse, the same, better
FULL_COLOUR = 2.0  # the ratio, or its inverse, from which on a colour is as strong as it gets


class Spread:
    def __init__(self, values):
        self.median, self.low, self.high = statistics.median(values), min(values), max(values)


class Cell:
    """All runs of one network with one algorithm, by both servers."""

    def __init__(self):
        self.runs = {kind: {} for kind in SERVERS}  # by seed

    def complete(self):
        return all(self.runs.values())

    def values(self, kind, metric, seed=None):
        chosen = self.runs[kind].values() if seed is None else [self.runs[kind][seed]]
        if metric == 'goodput':
            return [run['goodput_bps'] / 1e6 for run in chosen]
        return [SHORT_TIMEOUT_S if t is None else t for run in chosen for t in run['short_s']]

    def spread(self, kind, metric):
        values = self.values(kind, metric)
        return Spread(values) if values else None

    def _ratio(self, metric, seed=None):
        ours, theirs = (self.values(kind, metric, seed) for kind in SERVERS)
        if not ours or not theirs:
            return None
        better = statistics.median(ours) / max(statistics.median(theirs), 1e-6)
        return better if metric == 'goodput' else 1 / max(better, 1e-6)

    def ratio(self, metric):
        """Of the medians, with the least and the greatest that one seed alone would give."""
        seeds = set(self.runs['atlas']) & set(self.runs['nginx'])
        each = [r for r in (self._ratio(metric, seed) for seed in seeds) if r is not None]
        if not each:
            return None
        spread = Spread(each)
        spread.median = self._ratio(metric)
        return spread


class Grid:
    """The downloads, by algorithm, depth of the queue, loss and round trip."""

    def __init__(self, runs):
        self.cells, self.unused = {}, []
        for run in runs:
            if run['kind'] != 'download':
                continue
            if 'failure' in run or 'void' in run:
                self.unused.append(run)
                continue
            key = (run['cc'], run['queue_bdp'], run['loss'], run['rtt_ms'])
            self.cells.setdefault(key, Cell()).runs[run['server']][run['seed']] = run
        self.cells = {k: c for k, c in self.cells.items() if c.complete()}
        self.algorithms = list(dict.fromkeys(k[0] for k in self.cells))
        self.losses = [l for l in LOSSES if any(k[2] == l for k in self.cells)]
        self.rtts = sorted({k[3] for k in self.cells})

    def queues(self, cc):
        return sorted({k[1] for k in self.cells if k[0] == cc})

    def ratios(self, cc, metric):
        """[(key, Spread)] of all cells."""
        found = ((k, c.ratio(metric)) for k, c in self.cells.items() if k[0] == cc)
        return [(k, r) for k, r in found if r]


# --- text ---------------------------------------------------------------------------------------


def table(grid, cc, bdp, metric):
    """One line for each loss: what atlas has, what Linux has, the ratio and its spread."""
    form = '%7.2f' if metric == 'goodput' else '%7.3f'
    lines = ['  %-7s' % '' + ''.join('%34s' % ('%d ms' % r) for r in grid.rtts),
             '  %-7s' % 'loss' + '    atlas   Linux ratio           ' * len(grid.rtts)]
    for loss in grid.losses:
        words = '  %-7s' % loss
        for rtt in grid.rtts:
            cell = grid.cells.get((cc, bdp, loss, rtt))
            ratio = cell and cell.ratio(metric)
            if not ratio:
                words += '%34s' % '-'
                continue
            words += '  %s %s %5.2f %-11s' % (
                *(form % cell.spread(kind, metric).median for kind in SERVERS), ratio.median,
                '(%.2f-%.2f)' % (ratio.low, ratio.high))
        lines.append(words.rstrip())
    return lines


def summary(grid, cc, metric):
    ratios = grid.ratios(cc, metric)
    if not ratios:
        return []
    mean = math.exp(statistics.mean(math.log(r.median) for _, r in ratios))
    below = sorted((r.median, k) for k, r in ratios if r.median < GOOD_ENOUGH)
    lines = ['  %s: %d of %d cells at %.2f of Linux or better; geometric mean %.2f'
             % (NAMES[metric], len(ratios) - len(below), len(ratios), GOOD_ENOUGH, mean)]
    return lines + ['    %.2f  queue %g BDP, loss %s, %d ms' % (ratio, *key[1:])
                    for ratio, key in below]


def grid_text(grid):
    lines = []
    for cc in grid.algorithms:
        for metric, title in METRICS.items():
            for bdp in grid.queues(cc):
                lines += ['', '%s, queue of %g BDP, %s' % (cc, bdp, title),
                          *table(grid, cc, bdp, metric)]
        lines += ['', cc + ':', *summary(grid, cc, 'goodput'), *summary(grid, cc, 'short')]
    return lines


def share_of_ours(run):
    ours, theirs = (sum(run['goodput_bps'][kind]) for kind in SERVERS)
    return ours / max(ours + theirs, 1)


def evenness(run):
    """Jain's index of all four: 1 if they got the same."""
    got = [g for kind in SERVERS for g in run['goodput_bps'][kind]]
    return sum(got) ** 2 / max(len(got) * sum(g * g for g in got), 1)


def fairness_groups(runs):
    groups = {}
    for run in runs:
        if run['kind'] == 'fairness' and 'failure' not in run and 'void' not in run:
            groups.setdefault((run['jitter_ms'], run['cc'], run['rtt_ms']), []).append(run)
    return groups


def fairness_text(runs):
    groups = fairness_groups(runs)
    if not groups:
        return []
    lines = ['', 'Fairness: two connections of atlas and two of Linux through one queue of 1 BDP',
             '  %-6s %7s %10s %6s %30s %8s' % ('', 'RTT', 'ACK jitter', 'seeds', 'share of atlas',
                                               'Jain')]
    for (jitter, cc, rtt), group in groups.items():
        share = Spread([share_of_ours(run) for run in group])
        fair = abs(share.median - FAIR_SHARE) <= FAIR_SHARE * FAIR_WITHIN
        lines.append('  %-6s %4d ms %7d ms %6d %12.2f (%.2f to %.2f) %s %8.3f' % (
            cc, rtt, jitter, len(group), share.median, share.low, share.high,
            'fair  ' if fair else 'UNFAIR', statistics.median(evenness(run) for run in group)))
    return lines


def unused_text(runs):
    bad = [run for run in runs if 'failure' in run or 'void' in run]
    return [''] * bool(bad) + ['not counted: %s %s, queue %g BDP, loss %s, %d ms, %s: %s' % (
        run['part'], run['cc'], run['queue_bdp'], run['loss'], run['rtt_ms'],
        run.get('server', 'all'), run.get('failure') or run['void']) for run in bad]


def text(results):
    head = ['%s: %s' % pair for pair in results['machine'].items()]
    head.append('%(seeds)d runs of each, with a seed each; long downloads of %(seconds)d s, '
                '%(shorts)d short ones of %(short_bytes)d bytes' % results['settings'])
    head.append('ratio: how much better atlas is than Linux; in brackets the least and the '
                'greatest of single seeds')
    return '\n'.join([*head, *grid_text(Grid(results['runs'])), *fairness_text(results['runs']),
                      *unused_text(results['runs']), '%.1f minutes' % results['minutes'], ''])


# --- charts -------------------------------------------------------------------------------------


def colour(ratio):
    strength = min(abs(math.log(max(ratio, 1e-3))) / math.log(FULL_COLOUR), 1)
    end = WARM if ratio >= 1 else COLD
    return '#%02x%02x%02x' % tuple(round(a + (b - a) * strength) for a, b in zip(EVEN, end))


def panel(page, grid, cc, bdp, metric, x, y):
    page.text(x + CELL_W * len(grid.rtts) / 2, y - 22, 'queue of %g BDP' % bdp, anchor='middle')
    for column, rtt in enumerate(grid.rtts):
        page.text(x + CELL_W * (column + 0.5), y - 6, '%d ms' % rtt, size=11, fill=plot.FAINT,
                  anchor='middle')
        for row, loss in enumerate(grid.losses):
            cell = grid.cells.get((cc, bdp, loss, rtt))
            ratio = cell and cell.ratio(metric)
            if not ratio:
                continue
            left, top = x + CELL_W * column, y + CELL_H * row
            page.add('rect', x=left, y=top, width=CELL_W - 2, height=CELL_H - 2,
                     fill=colour(ratio.median), rx=2)
            strong = abs(math.log(max(ratio.median, 1e-3))) > 0.8 * math.log(FULL_COLOUR)
            page.text(left + CELL_W / 2 - 1, top + CELL_H / 2 + 4, '%.2f' % ratio.median,
                      anchor='middle', fill=plot.PAPER if strong else plot.INK)


def heat_map(path, grid, cc, about):
    queues = grid.queues(cc)
    tall = CELL_H * len(grid.losses) + 74
    page = plot.Page('atlas beside Linux, %s: ratios' % cc, about,
                     height=plot.TOP + tall * len(METRICS) + 10)
    for number, metric in enumerate(METRICS):
        y = plot.TOP + 54 + tall * number
        page.text(plot.LEFT, y - 42, NAMES[metric] + ': above 1, atlas is better', weight='bold')
        for row, loss in enumerate(grid.losses):
            page.text(plot.LEFT - 8, y + CELL_H * (row + 0.5) + 3, loss, size=11,
                      fill=plot.FAINT, anchor='end')
        for column, bdp in enumerate(queues):
            width = CELL_W * len(grid.rtts) + PANEL_GAP
            panel(page, grid, cc, bdp, metric, plot.LEFT + width * column, y)
    page.write(path)


def fairness_chart(path, groups, about):
    def got(key, kind):
        return Spread([sum(run['goodput_bps'][kind]) / 1e6 for run in groups[key]])
    series = [(name, plot.COLOURS[kind], [got(key, kind) for key in groups])
              for name, kind in (('two of atlas', 'atlas'), ('two of Linux', 'nginx'))]
    plot.bars(path, 'Four connections through one queue', about, 'Mbit/s',
              ['%s, %d ms%s' % (cc, rtt, '' if jitter else ', no jitter')
               for jitter, cc, rtt in groups], series)


def write_all(results, out, keep_runs):
    os.makedirs(out, exist_ok=True)
    grid, runs = Grid(results['runs']), results['runs']
    about = '%s, no fq; medians' % results['machine']['rate']
    for cc in grid.algorithms:
        heat_map(os.path.join(out, 'wan-%s.svg' % cc), grid, cc, about)
    if groups := fairness_groups(runs):
        fairness_chart(os.path.join(out, 'wan-fairness.svg'), groups, about)
    with open(os.path.join(out, 'wan.txt'), 'w') as f:
        f.write('\n'.join(line.rstrip() for line in text(results).splitlines()) + '\n')
    kept = results if keep_runs else {**results, 'runs': len(runs), 'cells': digest(grid)}
    with open(os.path.join(out, 'wan.json'), 'w') as f:
        json.dump(kept, f, indent=None if keep_runs else 1)
        f.write('\n')


def digest(grid):
    """Medians only, to be kept beside the source."""
    rows = []
    for (cc, bdp, loss, rtt), cell in grid.cells.items():
        row = {'cc': cc, 'queue_bdp': bdp, 'loss': loss, 'rtt_ms': rtt}
        for metric in METRICS:
            for kind in SERVERS:
                spread = cell.spread(kind, metric)
                row['%s_%s' % (metric, kind)] = round(spread.median, 3) if spread else None
        rows.append(row)
    return rows
