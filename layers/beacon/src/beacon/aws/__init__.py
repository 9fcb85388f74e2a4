"""AWS without a client where that is possible: credentials, signatures, and what calls have in common."""
