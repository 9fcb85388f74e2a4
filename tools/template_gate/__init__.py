"""Holds the templates against the scanners' rules; exceptions.toml says which findings stay, and why."""
