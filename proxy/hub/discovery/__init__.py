"""Discovery: where the servers of upstreams are found while the gateway runs.

A `Source` (`source.py`) finds the servers of one upstream and says so whenever that changes: DNS
(`dns.py`), a file (`file.py`), later a control plane. `keeper.py` runs one for each upstream that
has `discover`, keeps what was found while a source fails, and tells the roster.
"""
