"""Settings of the probabilistic sampler; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from proxy.collector.parts import Problems
from proxy.config.section import Section


class Settings(Section, frozen=True):
    """[collector.processors.probabilistic_sampler]"""

    sampling_percentage: float  # 0 = nothing; 100 and more = everything
    # how chance is made from the trace id
    mode: Literal["hash_seed", "proportional", "equalizing"] = "hash_seed"
    hash_seed: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] = 0  # the same on all of one tier
    fail_closed: bool = True  # items without usable randomness are dropped, else they are kept
    sampling_precision: Annotated[int, Meta(ge=1, le=14)] = 4  # hex digits of a threshold
    # logs only
    attribute_source: Literal["traceID", "record"] = "traceID"  # what is hashed first
    from_attribute: str = ""  # hashed for attribute_source = "record", and without a trace id
    sampling_priority: str = ""  # attribute with the item's own percentage: 0 drops, else the more

    def problems(self) -> Problems:
        percentage = self.sampling_percentage
        if not 0 <= percentage < float("inf"):
            yield ("sampling_percentage",), "a percentage is 0 or more", "100 keeps everything"
        elif 0 < percentage < 100 / (1 << 14) and self.mode == "hash_seed":
            remedy = 'mode = "proportional" has 56 bits'
            yield ("sampling_percentage",), "hash_seed knows nothing below 0.0062 percent", remedy
        elif 0 < percentage < 100 / (1 << 56):
            yield ("sampling_percentage",), "nothing can be sampled below 2**-56", "write 0"
        if self.attribute_source == "record" and not self.from_attribute:
            yield ("from_attribute",), "`attribute_source` needs it", "name an attribute"
