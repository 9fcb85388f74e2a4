"""One Aurora DSQL endpoint: its address, its token, a login, and the probe that reads the intents."""
