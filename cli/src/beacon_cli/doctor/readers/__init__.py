"""Readers of what only `beacon doctor` asks for: each makes one fact, and each may fail alone."""
