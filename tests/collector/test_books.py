from __future__ import annotations

from proxy.collector.books import Books


def filled() -> Books:
    books = Books()
    ledger = books.open("traces", "grpc://a:4317")
    ledger.created = 10
    ledger.exported = 5
    ledger.drop(2, "rejected")
    ledger.drop(1, "rejected")
    ledger.drop(0, "queue_full")
    ledger.places.append(lambda: 2)
    books.open("logs", "grpc://a:4317")
    return books


def test_balance_is_asked_of_the_real_places() -> None:
    books = filled()
    assert books.balanced()
    held = [1]
    books.open("logs", "grpc://a:4317").places.append(lambda: held[0])
    assert not books.balanced()
    held[0] = 0
    assert books.balanced()


def test_as_dict() -> None:
    assert filled().as_dict() == {
        "grpc://a:4317": {
            "traces": {
                "created": 10,
                "exported": 5,
                "dropped": {"rejected": 3},
                "queued": 2,
                "balanced": True,
            },
            "logs": {"created": 0, "exported": 0, "dropped": {}, "queued": 0, "balanced": True},
        }
    }


def test_repr_tells_the_story() -> None:
    books = filled()
    assert repr(books.open("traces", "grpc://a:4317")) == (
        "<Ledger traces grpc://a:4317: 10 created, 5 exported, 2 queued -3 rejected>"
    )
