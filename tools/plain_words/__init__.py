"""Finds the words that this project replaces with plainer ones, in every tracked text. Run by `make lint`."""
