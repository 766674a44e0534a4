"""What a codec meets behind a handshake: the peer with its name, and who may be asked for here.

A connection is for the name that it was made for (SNI). A request for a host that has another
certificate is answered 421 (RFC 9110 §15.5.20): whoever looks at certificates, the client or we,
has looked at the wrong one. A client that asked for no name, and a trusted proxy before us, which
often asks for one name whatever it carries, are not held to that.
"""

from __future__ import annotations

from ssl import SSLObject
from typing import Any

from proxy.errors import ClientError
from proxy.http.client_cert import element, identity_of, names_of, subject_of
from proxy.http.head import RequestHead
from proxy.server import answering, outbound
from proxy.server.house import Door, House, Tell
from proxy.server.peer import Peer
from proxy.server.sides import ClientSide, StoryEvents
from proxy.server.story import Story
from proxy.server.tls_keyring import ServerContext, Shown
from proxy.telemetry.tls import describe


def introduce(peer: Peer, tls: SSLObject, by: str = "", asked: bool = True) -> None:
    """Note what the handshake has shown; `by`: our own identity, `asked`: for a certificate."""
    certificate: dict[str, Any] = (tls.getpeercert() or {}) if asked else {}
    subject = ""
    if certificate:
        subject, peer.identity = subject_of(certificate), identity_of(certificate)
        peer.proof = (tuple(names_of(certificate, "URI")), subject)
        from hashlib import sha256  # 0.6 MB where no client has a certificate

        der = tls.getpeercert(True) or b""
        peer.certificate = element(certificate, sha256(der).hexdigest(), by)
    peer.tls = spoken(tls, subject, peer.identity or "")


def spoken(tls: SSLObject, subject: str = "", identity: str = "") -> bytes:
    """What spans say of the connection."""
    cipher = tls.cipher()
    return describe(
        tls.version() or "",
        cipher[0] if cipher else "",
        tls.selected_alpn_protocol() or "",
        bool(tls.session_reused),
        subject,
        identity,
    )


class Room:
    """The door, as the codec of one connection sees it; `sent_for`: what was chosen by SNI."""

    __slots__ = ("_door", "_peer", "_sent_for", "_shown", "_tell", "tell")

    def __init__(
        self, door: Door, peer: Peer, shown: Shown, sent_for: ServerContext | None
    ) -> None:
        self._door = door
        self._peer = peer
        self._shown = shown
        self._sent_for = sent_for
        self._tell = door.tell
        self.tell: Tell = door.tell if sent_for is None or not shown.is_many else self._checked

    def welcome(self, guest: Any, transport: Any) -> Peer | None:
        """It is in already."""
        return self._peer

    def hand_over(self, guest: Any, data: bytes) -> None:
        """Not here: what is spoken was agreed on (RFC 9113 §3.2)."""

    def trust(self, peer: Peer) -> tuple[bool, bool]:
        return self._door.trust(peer)

    def _checked(self, house: House, client: ClientSide, head: RequestHead) -> StoryEvents:
        story = self._tell(house, client, head)
        if client.trusted or client.forwards:
            return story
        host = house.snapshot.host(head.authority)[0]
        if self._shown.choose(host) is not self._sent_for:
            assert isinstance(story, Story)
            story.coroutine.close()
            story.coroutine = _misdirected(story)
        return story


async def _misdirected(story: Story) -> None:
    """In the place of `serve`: goes nowhere, and is recorded like every other request."""
    x, head = story.x, story.head
    try:
        outbound.describe(x, head, story.client, story.snapshot)
        if story.snapshot.request_id:
            x.request_id = outbound.request_id(story)
        story.worker.recorder.begin(x)
        why = "this connection is for another host: make a new one"
        answering.fail(story, ClientError(421, why), None)
    finally:
        answering.finish(story)
