"""Bytes and counters in C, without policy; what each does is stated by a twin in Python."""
