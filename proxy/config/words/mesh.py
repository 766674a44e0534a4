"""What people write into the tables of a mesh who know another one."""

from __future__ import annotations

from proxy.config.words.text import read

IDENTITY = read("""
source provider socket agent workload_api sds certs files cert_dir trust_bundle
    write ca = "local:///var/lib/spangate/ca", "files:///etc/certs" or
    "spiffe:///run/spire/agent.sock"
trust_domain trustdomain
    write domain = <"mesh">
spiffe_id spiffeid identity service_account name
    write id = <"spiffe://mesh/orders">
cert_ttl workload_cert_ttl lifetime duration expiry
    write ttl = <"1h">
""")

ALLOW = read("""
source sources principal principals identity identities spiffe_id service_account client
    write from = <"spiffe://mesh/shop">
paths uri url route operation
    write path = <"/orders/*">: for several write a rule for each
methods verbs
    write method = ["GET"]
action deny allow
    there are rules that allow and no others: what none is for is refused
""")
