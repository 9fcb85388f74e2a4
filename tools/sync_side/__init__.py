"""Writes the client's side for threads from its side for asyncio."""
