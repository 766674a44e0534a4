"""The demo's requests that the pages of its gateway offer, and how the gateway hears of them.

They go by its environment, with paths alone: it is started before anybody knows its port.
"""

from __future__ import annotations

import msgspec

from proxy.admin.buttons import VARIABLE, Button
from proxy.demo.services import ENDLESS, LOST, UNLUCKY

BUTTONS = (
    Button("An order", "/shop/orders/42", "Three services, six spans, all well."),
    Button(
        "Tried again", f"/shop/orders/{UNLUCKY}", "payments fails at first; the second try helps."
    ),
    Button("Hangs", f"/shop/orders/{ENDLESS}", "payments is cut off after a second."),
    Button("Fails", f"/shop/orders/{LOST}", "orders answers 500, and so the shop 502."),
    Button("Loses its trace", "/shop/stock/42", "stock forgets the context: see the doctor."),
)


def to_environment(buttons: tuple[Button, ...] = BUTTONS) -> dict[str, str]:
    """What `from_environment` of `proxy.admin.buttons` reads."""
    return {VARIABLE: msgspec.json.encode({"requests": buttons}).decode()}
