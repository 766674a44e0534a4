"""What operators load into other programs, made of the routes: rules for Prometheus, a board for
Grafana. Text in, text out: nothing here talks to a gateway, and nothing that serves requests
imports it."""
