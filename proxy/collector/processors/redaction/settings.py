"""Settings of the redaction processor; names of the OpenTelemetry Collector's where it has them."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.collector.editing.patterns import compile_pattern
from proxy.collector.parts import Problems
from proxy.config.section import Section


class Settings(Section, frozen=True):
    """[collector.processors.redaction]: removes attributes and masks what they say."""

    allow_all_keys: bool = False  # true: allowed_keys does not matter
    allowed_keys: list[str] = field(default_factory=list)  # all other attributes are removed
    ignored_keys: list[str] = field(default_factory=list)  # stay as they are, whatever they say
    blocked_key_patterns: list[str] = field(default_factory=list)  # their values are masked whole
    blocked_values: list[str] = field(default_factory=list)  # patterns; what matches is masked
    # values of these kinds are masked
    blocked_kinds: list[Literal["card", "email", "token"]] = field(default_factory=list)
    allowed_values: list[str] = field(default_factory=list)  # patterns; such values are not masked
    redact_all_types: bool = False  # numbers too
    url_query: list[str] = field(default_factory=list)  # parameters to mask; "*" = every one
    # attributes that hold URLs
    url_attributes: list[str] = field(
        default_factory=lambda: ["url.full", "url.query", "http.url", "http.target"]
    )
    log_body: bool = True  # bodies and status messages are masked as attributes are
    mask: str = "****"  # what stands in the place of a value
    hash_function: Literal["", "sha1", "sha256"] = ""  # hex digits in the place of the mask
    summary: Literal["silent", "info", "debug"] = "info"  # counts; debug: keys as well

    def problems(self) -> Problems:
        for key in ("blocked_key_patterns", "blocked_values", "allowed_values"):
            for index, text in enumerate(getattr(self, key)):
                try:
                    compile_pattern(text)
                except ValueError as error:
                    yield (key, index), str(error), ""
        if not self.allow_all_keys and not (self.allowed_keys or self.ignored_keys):
            remedy = "write allow_all_keys = true, or name allowed_keys"
            yield (), "this would remove every attribute", remedy
