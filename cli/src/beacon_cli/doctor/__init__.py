"""Whether a deployment is ready: facts that readers gather, a table of checks over them, and how it is shown."""
