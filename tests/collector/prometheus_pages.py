"""Pages to scrape, odd ones above all, of which a real Prometheus is asked what it thinks.

`lost`: samples that Prometheus takes and OTLP has no place for, or that say nothing without the
others; all else must be there.
"""

from __future__ import annotations

from typing import NamedTuple

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LONG = "x" * 70_000


class Page(NamedTuple):
    body: str
    kind: str = TEXT
    lost: tuple[str, ...] = ()


HISTOGRAM = """# TYPE h histogram
h_bucket{le="1"} 1
%s
h_bucket{le="+Inf"} 3
h_sum 4
h_count 3
"""
SUMMARY = """# TYPE s summary
s{quantile="0.5"} 1
%s
s_sum 4
s_count 3
"""


def _modern(*rows: str) -> Page:
    return Page("\n".join((*rows, "# EOF\n")), OPENMETRICS)


def _exemplar(exemplar: str) -> Page:
    return _modern("# TYPE c counter", f"c_total 1 {exemplar}", "# TYPE after gauge", "after 1")


PAGES: dict[str, Page] = {
    "plain": Page("a 1\n"),
    "no line end": Page("a 1\nb 2"),
    "empty": Page(""),
    "blank lines": Page("\n\na 1\n\n\nb 2\n"),
    "carriage returns": Page("a 1\r\nb 2\r\n"),
    "tabs": Page("a\t1\t\nb\t{x=\"1\"}\t2\n"),
    "blanks in front": Page("  a 1\n\tb 2\n"),
    "blanks in braces": Page('a{ x = "1" , y = "2" } 1\nb 2\n'),
    "a comma at the end": Page('a{x="1",} 1\nb 2\n'),
    "two commas": Page('a{x="1",,y="2"} 1\nb 2\n'),
    "only a comma": Page("a{,} 1\nb 2\n"),
    "empty braces": Page("a{} 1\nb 2\n"),
    "an empty label": Page('a{x=""} 1\nb 2\n'),
    "a label twice": Page('a{x="1",x="2"} 1\nb 2\n'),
    "escapes": Page('a{x="\\\\ \\" \\n"} 1\nb 2\n'),
    "an unknown escape": Page('a{x="\\t"} 1\nb 2\n'),
    "a quotation mark is missing": Page('a{x="1} 1\nb 2\n'),
    "a brace is missing": Page('a{x="1" 1\nb 2\n'),
    "quotes are missing": Page("a{x=1} 1\nb 2\n"),
    "a name is missing": Page('{x="1"} 1\nb 2\n'),
    "a digit begins a name": Page("1a 1\nb 2\n"),
    "a dash in a name": Page("a-b 1\nb 2\n"),
    "a dot in a name": Page("a.b 1\nb 2\n"),
    "a colon in a name": Page("a:b 1\nb 2\n"),
    "a colon in a label": Page('a{x:y="1"} 1\nb 2\n'),
    "a brace in a value": Page('a{x="}"} 1\nb{y="{"} 2\n'),
    "a value of UTF-8": Page('a{x="ü€"} 1\nb 2\n'),
    "a value is missing": Page("a\nb 2\n"),
    "a value that is none": Page("a one\nb 2\n"),
    "a value of hex": Page("a 0x10\nb 2\n"),
    "a value with _": Page("a 1_0\nb 2\n"),
    "values of floats": Page("a 1e3\nb -1.5E-3\nc .5\nd 5.\ne +1\n"),
    "infinite values": Page("a +Inf\nb -Inf\nc inf\nd infinity\n"),
    "not a number": Page("a NaN\nb nan\nc 1\n"),
    "three numbers": Page("a 1 2 3\nb 2\n"),
    "a time that is none": Page("a 1 soon\nb 2\n"),
    "a time with a fraction": Page("a 1 1.5\nb 2\n"),
    "a time before 1970": Page("a 1 -5\nb 2\n"),
    "a time with a sign": Page("a 1 +5\nb 2\n"),
    "a time that is too large": Page("a 1 99999999999999999999\nb 2\n"),
    "a help that ends in a blank": Page("# HELP a \n# HELP b x \na 1\nb 2\n"),
    "a sample twice": Page("a 1\na 2\nb 2\n"),
    "a long label": Page(f'a{{x="{LONG}"}} 1\nb 2\n'),
    "a long comment": Page(f"# {LONG}\n# HELP a {LONG}\na 1\nb 2\n"),
    "a long name": Page(f"{LONG} 1\nb 2\n"),
    "a type that is none": Page("# TYPE a rate\na 1\nb 2\n"),
    "a type in capitals": Page("# TYPE a GAUGE\na 1\nb 2\n"),
    "a type is missing": Page("# TYPE a\na 1\nb 2\n"),
    "a type twice": Page("# TYPE a gauge\n# TYPE a gauge\na 1\nb 2\n"),
    "a type behind its samples": Page("a 1\n# TYPE a gauge\nb 2\n"),
    "a help twice": Page("# HELP a x\n# HELP a y\na 1\nb 2\n"),
    "a help is empty": Page("# HELP a\na 1\nb 2\n"),
    "comments": Page("#\n# x\n#x y\n# EOF\na 1\nb 2\n"),
    "interleaved families": Page("# TYPE a gauge\n# TYPE b gauge\na 1\nb 2\na{x=\"1\"} 3\n"),
    "exemplar in the old format": Page('c_total 1 # {a="b"} 1\nb 2\n'),
    # histograms and summaries
    "histogram": Page(HISTOGRAM % 'h_bucket{le="2"} 2'),
    "bucket without le": Page(HISTOGRAM % "h_bucket 2", lost=("h_bucket{}",)),
    "bucket with other labels only": Page(
        HISTOGRAM % 'h_bucket{x="1"} 2', lost=('h_bucket{x="1"}',)
    ),
    "le is empty": Page(HISTOGRAM % 'h_bucket{le=""} 2', lost=("h_bucket{}",)),
    "le is NaN": Page(HISTOGRAM % 'h_bucket{le="NaN"} 2', lost=('h_bucket{le="NaN"}',)),
    "le is no number": Page(HISTOGRAM % 'h_bucket{le="two"} 2', lost=('h_bucket{le="two"}',)),
    "le has blanks": Page(HISTOGRAM % 'h_bucket{le=" 2"} 2', lost=('h_bucket{le=" 2"}',)),
    "le with _": Page(HISTOGRAM % 'h_bucket{le="1_0"} 2', lost=('h_bucket{le="1_0"}',)),
    "le twice": Page(HISTOGRAM % 'h_bucket{le="2",le="3"} 2'),
    "a histogram's own name": Page(HISTOGRAM % "h 2", lost=("h{}",)),
    "quantile": Page(SUMMARY % 's{quantile="0.9"} 2'),
    "quantile is missing": Page(SUMMARY % "s 2", lost=("s{}",)),
    "quantile is empty": Page(SUMMARY % 's{quantile=""} 2', lost=("s{}",)),
    "quantile is NaN": Page(SUMMARY % 's{quantile="NaN"} 2', lost=('s{quantile="NaN"}',)),
    "quantile is no number": Page(SUMMARY % 's{quantile="p9"} 2', lost=('s{quantile="p9"}',)),
    "a summary's bucket": Page(SUMMARY % 's_bucket{le="1"} 2'),
    # OpenMetrics
    "modern": _modern("# TYPE a gauge", "a 1", "b 2"),
    "no end": Page("a 1\n", OPENMETRICS),
    "an end and more": Page("a 1\n# EOF\nb 2\n", OPENMETRICS),
    "an end and a blank line": Page("a 1\n# EOF\n\n", OPENMETRICS),
    "no line end behind the end": Page("a 1\n# EOF", OPENMETRICS),
    "a blank line": Page("a 1\n\nb 2\n# EOF\n", OPENMETRICS),
    "a unit": _modern("# TYPE a_seconds gauge", "# UNIT a_seconds seconds", "a_seconds 1"),
    "a unit that is not in the name": _modern("# TYPE a gauge", "# UNIT a seconds", "a 1", "b 2"),
    "an exemplar": _exemplar('# {a="b"} 1'),
    "an exemplar with a time": _exemplar('# {a="b"} 1 1.5'),
    "an exemplar without labels": _exemplar("# {} 1"),
    "an exemplar's label twice": _exemplar('# {a="b",a="c"} 1'),
    "an exemplar without a value": _exemplar('# {a="b"}'),
    "an exemplar whose value is none": _exemplar('# {a="b"} one'),
    "an exemplar whose value is NaN": _exemplar('# {a="b"} NaN'),
    "an exemplar whose time is none": _exemplar('# {a="b"} 1 soon'),
    "an exemplar whose time is NaN": _exemplar('# {a="b"} 1 NaN'),
    "an exemplar whose label is none": _exemplar('# {1="b"} 1'),
    "an exemplar without quotes": _exemplar("# {a=b} 1"),
    "an exemplar that is too long": _exemplar(f'# {{a="{LONG[:200]}"}} 1'),
    "an exemplar that is far too long": _exemplar(f'# {{a="{LONG}"}} 1'),
    "an exemplar without braces": _exemplar("# b"),
    "an exemplar of two": _exemplar('# {a="b"} 1 # {a="c"} 2'),
    "an exemplar of a gauge": _modern("# TYPE a gauge", 'a 1 # {a="b"} 1', "b 2"),
    "modern times": _modern("# TYPE a gauge", "a 1 1.5x", "b 2"),
    "modern time is NaN": _modern("# TYPE a gauge", "a 1 NaN", "b 2"),
    "modern time before 1970": _modern("# TYPE a gauge", "a 1 -5", "b 2"),
    "modern time that is too large": _modern("# TYPE a gauge", "a 1 1e30", "b 2"),
    "a modern help that ends in a blank": _modern("# HELP a ", "a 1", "b 2"),
    "modern counter without _total": _modern("# TYPE a counter", "a 1", "b 2"),
    "modern types": _modern(
        "# TYPE i info", 'i_info{x="1"} 1', "# TYPE s stateset", 's{s="on"} 1', "# TYPE u unknown",
        "u 1",
    ),
    "modern label twice": _modern("# TYPE a gauge", 'a{x="1",x="2"} 1', "b 2"),
    "modern carriage returns": Page("a 1\r\n# EOF\r\n", OPENMETRICS),
    "modern blanks": _modern("# TYPE a gauge", "a  1", "b 2"),
    "modern tabs": _modern("# TYPE a gauge", "a\t1", "b 2"),
    "modern blank at the end": _modern("# TYPE a gauge", "a 1 ", "b 2"),
    "modern blank in braces": _modern("# TYPE a gauge", 'a{x="1", y="2"} 1', "b 2"),
    "modern comment": _modern("# hello", "a 1", "b 2"),
    "modern histogram": _modern(
        "# TYPE h histogram", 'h_bucket{le="1"} 1 # {a="b"} 0.5', "h_bucket 2",
        'h_bucket{le="+Inf"} 3', "h_count 3", "h_sum 4", "h_created 1.5",
    )._replace(lost=("h_bucket{}", "h_created{}")),
}  # fmt: skip
