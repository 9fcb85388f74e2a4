"""The checks, by subject: each is a small pure function over the facts."""
