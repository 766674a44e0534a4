"""Words: what keys of other gateways and collectors are called here.

    hints.py      the one question: which remedy for an unknown key of this table?
    fill.py       the user's own value in a hint
    special.py    hints that follow from the value as much as from the word
    route.py      keys that people write into a route
    upstream.py   into an upstream and its tables
    access.py     into the tables about who may come in
    top.py        at the top of the file
    smaller.py    into listeners, conditions, and what a route does
    observing.py  into the tables about telemetry and operation
    components.py into components of the collector
    missing.py    what does not exist here, whatever it is called and wherever it is written
    paths.py      paths and rules in the notations of others
    values.py     values that mean something elsewhere, and are plain text here
    shapes.py     what to write where a table, a list or a number is wanted
    toml.py       slips of TOML, and files that are something else altogether

    text.py       how these lists are written

Lists alone: nothing here reads a file or knows of a report, and nothing is read before a file has
an unknown key. In a hint `<example>` is where the user's own value is shown if it has the form of
the example.
"""
