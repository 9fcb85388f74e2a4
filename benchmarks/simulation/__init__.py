"""Simulated months of probing under lost probes, bursts and outages, decided by the real decision."""
