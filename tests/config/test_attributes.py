from __future__ import annotations

import pytest

from proxy.config.attributes import from_labels
from proxy.config.load import ConfigError, loads

ROUTE = '[[route]]\npath = "/"\nrespond = { status = 200 }\nlabels = { team = "shop" }\n'


@pytest.mark.parametrize(
    ("key", "source", "part"),
    [
        ("a", "x-tenant", "no source"),
        ("a", "header:", "no source"),
        ("a", "header:x tenant", "no name of a header"),
        ("a", "query:x", "no source"),
        ("http.route", "header:x", "belongs to the gateway"),
        ("team", "header:x", "a label 'team' already"),
    ],
)
def test_what_cannot_work_is_told(key: str, source: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(f'{ROUTE}[attributes]\n"{key}" = "{source}"\n', "routes.toml", {})
    (problem,) = caught.value.problems
    assert part in problem.message
    assert (problem.line, problem.key) == (
        6,
        f'attributes."{key}"' if "." in key else f"attributes.{key}",
    )


def test_labels_under_another_name() -> None:
    attributes = {"unit": "label:team", "no": "label:none", "h": "header:x"}
    assert from_labels(attributes, {"team": "shop"}) == {"unit": "shop"}
