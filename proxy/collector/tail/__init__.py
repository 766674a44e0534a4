"""Whole traces: cutting batches by trace, keeping them while they are incomplete, judging them.

Everything here is pure but `handover`: time is an argument, and nobody waits or writes. The
stages that use it are `process_tail_sampling` and `process_group_by_trace`.
"""
