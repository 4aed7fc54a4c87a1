# SPDX-License-Identifier: BSD-2-Clause
"""Runs gathered into medians and spreads, and these into words: what all reports share."""
import statistics

GB = 1e9
METRICS = ('throughput', 'per_core_s', 'core_s_per_gb', 'server_busy', 'client_busy',
           'per_process_s', 'p50_ms', 'p99_ms', 'errors', 'retransmitted', 'up',
           'client_rx_steered', 'server_rx_steered', 'working_set_bytes')


class Table:
    """Runs by (scenario, peer, connections)."""

    def __init__(self, runs):
        self.cells, self.failures = {}, []
        grouped = {}
        for run in runs:
            key = (run['scenario'], run['peer'], run['connections'])
            if 'failure' in run:
                self.failures.append((key, run['failure']))
            else:
                grouped.setdefault(key, []).append(run)
        for key, group in grouped.items():
            self.cells[key] = {'runs': len(group), 'drops': drops(group),
                               'errors': errors(group), 'metrics': {
                name: spread([run[name] for run in group])
                for name in METRICS if all(run.get(name) is not None for run in group)}}

    def value(self, scenario, peer, connections, metric):
        cell = self.cells.get((scenario, peer, connections))
        return cell['metrics'].get(metric) if cell else None

    def median(self, *key):
        value = self.value(*key)
        return value['median'] if value else None

    def peers(self, scenario, prefix=''):
        found = []
        for s, peer, _ in self.cells:
            if s == scenario and peer.startswith(prefix) and peer not in found:
                found.append(peer)
        return found

    def connections(self, scenario, peers=None):
        return sorted({c for s, p, c in self.cells if s == scenario and c and
                       (peers is None or p in peers)})

    def best(self, scenario, prefix, connections, metric, pick=max):
        """(value, peer) of the peer that does best by this metric."""
        found = [(self.median(scenario, p, connections, metric), p)
                 for p in self.peers(scenario, prefix)]
        found = [f for f in found if f[0] is not None]
        return pick(found) if found else (None, None)


def drops(group):
    """What a server says that it dropped, by cause: the most in any run."""
    most = {}
    for run in group:
        for name, count in run.get('counters', {}).items():
            if name.startswith('drop_'):
                cause = name[len('drop_'):].replace('_', ' ')
                most[cause] = max(most.get(cause, 0), int(count))
    return most


def errors(group):
    """What the client complained of: the most in any run."""
    kinds = {kind for run in group for kind in run.get('error_kinds', {})}
    most = {kind: max(run['error_kinds'][kind] for run in group) for kind in kinds}
    return {kind: count for kind, count in most.items() if count}


def spread(values):
    return {'median': round(statistics.median(values), 6), 'low': round(min(values), 6),
            'high': round(max(values), 6)}


# --- words -------------------------------------------------------------------------------------


def cell_text(value, scale, form, with_spread):
    if value is None:
        return '-'
    text = form % (value['median'] * scale)
    if with_spread:
        text += ' (%s-%s)' % (form % (value['low'] * scale), form % (value['high'] * scale))
    return text


def columns(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for n, row in enumerate(rows):
        lines.append('  '.join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip())
        if n == 0:
            lines.append('  '.join('-' * w for w in widths))
    return '\n'.join(lines) + '\n'


def verdict(words, value, target, at_least=True, form='%.2f'):
    good = value >= target if at_least else value <= target
    return '%-7s %s: %s (aim: %s %s)' % ('reached' if good else 'MISSED', words, form % value,
                                         'at least' if at_least else 'at most', form % target)
