"""Metrics of commitments, as this pod knows them."""

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from merit_crds.commitments.period import UNITS
from merit_crds.pricing.cost import PICO
from merit_dataplane.commitments.account import CommitmentAccount
from merit_dataplane.commitments.accounts import CommitmentAccounts

_LABELS = ("price_list", "commitment", "unit")


class CommitmentCollector(Collector):
    """Volumes are in the unit of the label: usd, tokens, requests."""

    def __init__(self, accounts: CommitmentAccounts):
        self._accounts = accounts

    def collect(self) -> Iterator[Metric]:
        """All families; none while no commitment holds."""
        now = time.time()
        accounts = [account for account in self._accounts if account.holds(now)]
        if not accounts:
            return
        drawn = CounterMetricFamily("merit_commitment_drawn", "Drawn by this pod.", labels=_LABELS)
        volume = GaugeMetricFamily("merit_commitment_volume", "Volume of this period.", labels=_LABELS)
        remaining = GaugeMetricFamily(
            "merit_commitment_remaining", "Of this period, what all pods together have left.", labels=_LABELS
        )
        ends = GaugeMetricFamily(
            "merit_commitment_period_end_timestamp_seconds", "When this period ends.", labels=_LABELS
        )
        pace = GaugeMetricFamily(
            "merit_commitment_pace_usd", "Shadow price of one more unit of the volume.", labels=_LABELS
        )
        shortfall = GaugeMetricFamily(
            "merit_commitment_expected_unused_usd", "Of this period's fee, what is expected to stay unused.",
            labels=_LABELS,
        )  # fmt: skip
        for account in accounts:
            labels = (account.price_list, account.name, account.terms.unit)
            unit = _unit(account)
            drawn.add_metric(labels, account.total_drawn / unit)
            volume.add_metric(labels, account.volume / unit)
            remaining.add_metric(labels, account.left / unit)
            if account.period is not None:
                ends.add_metric(labels, account.period.end)
            pace.add_metric(labels, account.pace / (UNITS if unit == PICO else PICO))
            shortfall.add_metric(labels, account.expected_unused(now) / PICO)
        yield from (drawn, volume, remaining, ends, pace, shortfall)


def _unit(account: CommitmentAccount) -> int:
    return PICO if account.terms.unit == "usd" else UNITS
