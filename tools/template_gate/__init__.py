"""Checks the templates with the scanners' rules; exceptions.toml lists the accepted findings, and why."""
