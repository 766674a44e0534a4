"""A buffer for protobuf, for `otlpjson`; Python cannot call any of it, so it has no twin here."""
