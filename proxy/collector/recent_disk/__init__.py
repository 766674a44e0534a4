"""Recent telemetry on disk, beside the ring in memory: what it is for is said in docs/recent.md.

`record.py` has the bytes, `index.py` what is known of a file, `segment.py` the files, `shelf.py`
which of them there are, `archive.py` the thread that alone touches the disk, and `keeper.py` what
the collector has of it.
"""
