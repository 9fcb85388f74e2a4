"""The game day: breaks one Region on purpose, watches everything move, and repairs it in every case."""
