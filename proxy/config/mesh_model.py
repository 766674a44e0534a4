"""The tables of the mesh: whose sidecar this is, how traffic gets to it, who it says it is."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.config.section import Port, Section
from proxy.config.units import Seconds


class MeshExclude(Section, frozen=True):
    """What is not redirected to the sidecar."""

    ports: list[Port] = field(default_factory=list)  # of destinations, in both directions
    users: list[str] = field(default_factory=list)  # names or numbers; the sidecar's own always is
    networks: list[str] = field(default_factory=list)  # CIDRs of destinations


class MeshIdentity(Section, frozen=True):
    """Where the certificate comes from that says who this sidecar is (SPIFFE X.509-SVID)."""

    ca: str = ""  # "local:///DIR", "spiffe:///run/spire/agent.sock", "files:///DIR"
    domain: str = ""  # the trust domain of a local CA; "" = "mesh"
    id: str = ""  # of a local CA: "spiffe://mesh/orders"; "" = made of the domain and the name
    ttl: Seconds = Seconds(3600)  # of certificates of a local CA; they are renewed at half of it


class MeshAllow(Section, frozen=True):
    """Who may call the application; all that is said must hold."""

    source: str = field(default="*", name="from")  # "spiffe://mesh/shop", "spiffe://mesh/*"
    path: str = "/*"  # as of a route
    method: list[str] = field(default_factory=list)  # [] = any


class Mesh(Section, frozen=True):
    """The sidecar of one application."""

    name: str = ""  # service.name of the spans of its inbound side; "" = that of the resource
    app: str = ""  # "127.0.0.1:8000": where the application listens; "" = the port that was called
    inbound: str = ":15006"  # its own listener, and all TCP that comes in where it is redirected
    # forwards by the original destination, or by Host; without a host it is on loopback alone
    outbound: str = ":15001"
    # how traffic gets here; "tproxy": the application sees who it comes from
    redirect: Literal["nft", "iptables", "tproxy", "ebpf", "none"] = "none"
    exclude: MeshExclude = field(default_factory=MeshExclude)  # what is left alone
    identity: MeshIdentity | None = None  # whose certificate it shows; None = it has none
    # "strict": nobody is let in without a certificate of the mesh; "off": certificates are not used
    mtls: Literal["permissive", "strict", "off"] = "permissive"
    allow: list[MeshAllow] = field(default_factory=list)  # [] = everybody who is let in by mtls
    # hosts and CIDRs whose sidecars are called with mTLS: "*.mesh", "10.1.0.0/16"
    peers: list[str] = field(default_factory=list)
    opaque: list[Port] = field(default_factory=list)  # bytes, without looking at what they are
    detect: Seconds = Seconds(0.05)  # a silent client is waited for, before its server is asked
