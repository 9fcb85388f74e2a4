"""Addresses, ports, certificates, distance and throttling on loopback."""
