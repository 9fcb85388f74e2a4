"""A drain and a release: what would remain, the transaction that writes it, and what follows it."""
