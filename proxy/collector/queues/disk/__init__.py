"""The queue on disk: a log of files that outlives the process (docs/collector/disk-queue.md)."""
