"""Functions of OTTL that are not here, and what to write instead."""

from __future__ import annotations

_LAMBDAS = "lambdas are not supported; compare single keys"
_XML = "XML is not taken apart here; send such logs to a collector that does"
_HASHES = "use SHA256(…) or FNV(…)"
_SUMMARIES = "histograms and summaries stay as they are; leave the statement out"

REFUSED: dict[str, str] = {
    **dict.fromkeys(("All", "Any", "Filter", "Find", "MapEach", "MapKeys", "Reduce"), _LAMBDAS),
    "When": "use two statements with where",
    **dict.fromkeys(
        (
            "ParseXML", "ParseSimplifiedXML", "GetXML", "InsertXML", "RemoveXML",
            "ConvertAttributesToElementsXML", "ConvertTextToElementsXML",
        ),
        _XML,
    ),
    **dict.fromkeys(("Murmur3Hash", "Murmur3Hash128", "XXH3", "XXH128"), _HASHES),
    "ExtractGrokPatterns": 'use ExtractPatterns(target, "(?P<name>…)")',
    "CommunityID": _HASHES,
    "ParseSeverity": "use set(severity_number, …) where …",
    "SliceToMap": "use set(attributes[\"k\"], attributes[\"list\"][0])",
    "UserAgent": "use ExtractPatterns(…)",
    "ProfileID": "profiles are not transformed",
    **dict.fromkeys(("ParseCEF", "ParseCLF", "ParseELF", "ParseLEEF"), "use ExtractPatterns(…)"),
    **dict.fromkeys(
        (
            "extract_count_metric", "extract_sum_metric", "extract_percentile_metric",
            "convert_summary_count_val_to_sum", "convert_summary_sum_val_to_sum",
            "convert_summary_quantile_val_to_gauge", "convert_exponential_histogram_to_histogram",
            "merge_histogram_buckets",
        ),
        _SUMMARIES,
    ),
    "copy_metric": "a metric cannot be copied; use a second pipeline",
    "scale_metric": "use set(datapoint.value_double, datapoint.value_double * …)",
    "aggregate_on_attributes": "points are not aggregated; do it in the back end",
    "aggregate_on_attribute_value": "points are not aggregated; do it in the back end",
    "set_semconv_span_name": "use set(span.name, Concat([…], \" \"))",
}  # fmt: skip
