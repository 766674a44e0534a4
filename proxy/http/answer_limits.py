"""What one answer of an upstream may take before it is refused, whatever protocol it comes by."""

MOST_HEAD = 64 * 1024  # bytes of a response head; nginx 8 KiB, Envoy 60 KiB
MOST_INFORMATIONAL = 32  # 1xx heads before one answer: what comes beyond is a fault or a flood
