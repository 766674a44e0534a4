"""The commands that make credentials: `spangate key` and `spangate password`.

What they write is judged by the readers of `proxy/config/`; nothing here runs in a gateway.
"""
