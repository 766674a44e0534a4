"""Recent telemetry, to be looked at: batches kept as bytes, and what is asked of them.

`ring.py` keeps, `decode.py` reads, `search.py` finds, `desk.py` answers. Pure: no
socket, no clock, no loop; whoever asks says what time it is and takes the steps.
"""
