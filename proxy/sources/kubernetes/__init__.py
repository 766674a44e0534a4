"""Kubernetes: Gateways and routes of a cluster, and the endpoints of its services.

api, reflector, store        what is read of the API server, and kept
translate and what it uses   objects -> tables of routes.toml; pure
outcome, statuses, writer    what is told back
source                       the turns of all that
"""

from proxy.sources.kubernetes.source import make as make
