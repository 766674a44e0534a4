"""Who may come in: the checks of routes, as plain functions and classes without I/O and clock.

A check (`check.py`) is asked what a request shows of its caller and says who that is, why the
request is refused, or what has to be awaited first. `server/gate.py` asks the checks of a route in
their order, and turns what they say into answers, span events, metrics and header lines.
"""
