"""A small HTTP server that strangers cannot use up: `server.py`, and one connection of it.

Nothing is imported here: who asks for a port's state alone (`probe.py`, `ports.py`) does not load
aiohttp, which is 12 MB of a hub that has no visitors.
"""
