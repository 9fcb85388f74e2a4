"""Lambda on one machine: real sandboxes, their queue of events, the schedule, and the built code."""
