"""What Prometheus reads, and that the documentation lists the same."""

from __future__ import annotations

import re

from tests.places import ROOT

from beacon_cli.proxy.metrics import METRICS, Counts, Sample, exposition


def test_each_metric_stands_below_its_help_and_type() -> None:
    """With its labels quoted, and every digit of a counter."""
    counts = Counts(accepted=123_456_789, connect_s=0.5)
    counts.failures["us-east-1", 'ti"me\nout\\'] += 1
    counts.rejected["53300"] += 2
    text = exposition([*counts.samples(), Sample("beacon_proxy_clients", 3, {"state": "idle"})])
    lines = text.splitlines()
    assert "beacon_proxy_accepted_total 123456789" in lines
    assert "beacon_proxy_connect_seconds_total 0.5" in lines
    assert 'beacon_proxy_rejected_total{sqlstate="53300"} 2' in lines
    labels = '{region="us-east-1",reason="ti\\"me\\nout\\\\"}'
    assert f"beacon_proxy_connect_failures_total{labels} 1" in lines
    first = lines.index('beacon_proxy_clients{state="idle"} 3')
    assert lines[first - 2].startswith("# HELP beacon_proxy_clients ")
    assert lines[first - 1] == "# TYPE beacon_proxy_clients gauge"
    assert text.endswith("\n")


def test_the_page_lists_each_metric() -> None:
    """docs/proxy.md, and no other one."""
    page = (ROOT / "docs/proxy.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(beacon_proxy_\w+)` \|", page, re.MULTILINE)) == set(METRICS)
