"""Whether a deployment is ready: the facts, a table of checks over them, and how it is shown."""
