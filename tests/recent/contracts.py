"""The published shapes of other projects' APIs (`schemas/`), and whether an answer has them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from proxy.recent.desk import Reply

FOLDER = Path(__file__).parent / "schemas"


@cache
def validator(api: str, name: str) -> Draft202012Validator:
    schema = json.loads((FOLDER / f"{api}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator({**schema, "$ref": f"#/$defs/{name}"})


def told(reply: Reply, api: str, name: str, status: int = 200) -> Any:
    """What the answer says, after it was found to be of that shape."""
    assert reply.status == status, reply.body[:300]
    assert reply.content_type.startswith("application/json")
    value = json.loads(reply.body)
    validator(api, name).validate(value)
    return value
