"""How what a sidecar makes of its `[mesh]` is called: listeners, routes and upstreams."""

INBOUND, OUTBOUND = "inbound", "outbound"  # listeners, and the routes behind them
APP, AWAY = "app", "passthrough"  # upstreams: the application, and whatever it calls
H2, BYTES = ".h2", ".tcp"  # the same, asked by HTTP/2 and without looking into it
PEERS = "passthrough.mesh"  # the same by mTLS, where the other end is a sidecar as well
RESERVED = (APP, APP + H2, APP + BYTES, AWAY, AWAY + H2, AWAY + BYTES, PEERS, PEERS + BYTES)

# How the names begin that sidecars ask each other for: to be sent requests, and bytes. One that
# knows of no bytes does not take them for requests.
SNI, BYTES_SNI = "outbound.mesh.", "bytes.mesh."
