"""Words of JSON in C, for `otlpjson`; Python cannot call any of it, so it has no twin here."""
