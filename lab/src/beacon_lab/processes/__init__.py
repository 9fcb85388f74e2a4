"""The lab's child processes, none of which outlives it."""
