"""What a route's `headers` change in heads, encoded once."""

from __future__ import annotations

from collections.abc import Container

from proxy.config.model import HeaderEdit, Route
from proxy.http.edits import NO_EDITS, Edits


def edits_of_answers(route: Route) -> Edits:
    """What a route changes in its answers. The fields of a fixed answer are among them, so that
    they win over what the gateway adds."""
    edit, fixed = route.headers.response, route.respond
    if fixed is None or not fixed.headers:
        return _edits(edit)
    changed = {name.lower() for name in (*edit.set, *edit.remove)}
    said = {name: value for name, value in fixed.headers.items() if name.lower() not in changed}
    return _edits(HeaderEdit(set={**said, **edit.set}, add=edit.add, remove=edit.remove))


def edits_of_requests(edit: HeaderEdit, own: Container[str]) -> Edits:
    """Less those of the gateway's `own` fields, in lower case, which would come twice."""
    if not (edit.set or edit.add or edit.remove):
        return NO_EDITS  # most, and there may be many routes
    return _edits(
        HeaderEdit(
            set={name: value for name, value in edit.set.items() if name.lower() not in own},
            add={name: value for name, value in edit.add.items() if name.lower() not in own},
            remove=[name for name in edit.remove if name.lower() not in own],
        )
    )


def _edits(edit: HeaderEdit) -> Edits:
    """Header changes of one direction that a route asks for, encoded once."""
    if not (edit.set or edit.add or edit.remove):
        return NO_EDITS
    edits = Edits()
    changed = [*edit.remove, *edit.set]
    edits.removed = frozenset(name.lower().encode("ascii") for name in changed) or None
    edits.added = [
        (name.lower().encode("ascii"), value.encode("latin-1", "replace"))
        for name, value in (*edit.set.items(), *edit.add.items())
    ]
    return edits
