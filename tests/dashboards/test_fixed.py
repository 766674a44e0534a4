"""Alerts about the gateway itself: each fires on its trouble, none where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from proxy.dashboards.fixed import alerts
from tests.dashboards.kit import needs_promtool, promtool, routes, rules_of

EXPORTER = 'exporter="otlp",signal="traces",instance="gw"'
AT = 'spangate_upstream="shop",server_address="10.0.0.1",server_port="80",instance="gw"'
COUNT = "http_server_request_duration_seconds_count"
TRIES = "http_client_request_duration_seconds_count"


class Trouble(NamedTuple):
    """Series that fire an alert within half an hour, and as they are where all is well."""

    alert: str
    bad: dict[str, str]
    good: dict[str, str]


def books(created: str, exported: str, queued: str) -> dict[str, str]:
    return {
        f"spangate_export_created_total{{{EXPORTER}}}": created,
        f"spangate_export_exported_total{{{EXPORTER}}}": exported,
        f"spangate_export_queued{{{EXPORTER}}}": queued,
    }


def contexts(invalid: str, continued: str) -> dict[str, str]:
    return {
        'spangate_trace_context_total{result="invalid",format="w3c",instance="gw"}': invalid,
        'spangate_trace_context_total{result="continued",format="w3c",instance="gw"}': continued,
        'spangate_trace_context_total{result="absent",format="",instance="gw"}': "0+900x60",
    }


def denied(reason: str) -> str:
    labels = f'spangate_check="staff",spangate_route="shop",spangate_denied_reason="{reason}"'
    return f'spangate_access_denied_total{{{labels},instance="gw"}}'


UP = 'up{job="spangate",instance="gw"}'
TROUBLES = (
    Trouble("SpangateDown", {UP: "0x60"}, {UP: "1x60"}),
    Trouble("SpangateDown", {'up{job="other",instance="gw"}': "1x60"}, {}),
    Trouble(
        "SpangateErrors",
        {
            f'{COUNT}{{spangate_route="plain"}}': "0+90x60",
            f'{COUNT}{{spangate_route="plain",error_type="502"}}': "0+10x60",
        },
        {
            f'{COUNT}{{spangate_route="plain"}}': "0+90x60",
            f'{COUNT}{{spangate_route="plain",error_type="rate_limited"}}': "0+90x60",
            f'{COUNT}{{spangate_route="plain",error_type="502"}}': "0+2x60",
        },
    ),
    Trouble(  # too few to be a share of anything
        "SpangateErrors",
        {f'{COUNT}{{spangate_route="plain",error_type="502"}}': "0+6x60"},
        {f'{COUNT}{{spangate_route="plain",error_type="502"}}': "0+3x60"},
    ),
    Trouble(  # one that has an objective is judged by it
        "SpangateErrors",
        {},
        {
            f'{COUNT}{{spangate_route="promising"}}': "0+90x60",
            f'{COUNT}{{spangate_route="promising",error_type="502"}}': "0+10x60",
        },
    ),
    Trouble(
        "SpangateUpstreamDown",
        {f"spangate_upstream_endpoint_up{{{AT}}}": "0x60"},
        {
            f"spangate_upstream_endpoint_up{{{AT}}}": "0x60",
            f"spangate_upstream_endpoint_up{{{AT.replace('0.1', '0.2')}}}": "1x60",
        },
    ),
    Trouble(
        "SpangateUpstreamDown",
        {f"spangate_upstream_endpoint_ejected{{{AT}}}": "1x60"},
        {
            f"spangate_upstream_endpoint_ejected{{{AT}}}": "1x60",
            f"spangate_upstream_endpoint_ejected{{{AT.replace('0.1', '0.2')}}}": "0x60",
        },
    ),
    Trouble(
        "SpangateUpstreamDown",
        {'spangate_upstream_discovered{spangate_upstream="a",source="dns",instance="gw"}': "0x60"},
        {'spangate_upstream_discovered{spangate_upstream="a",source="dns",instance="gw"}': "1x60"},
    ),
    Trouble(
        "SpangateUpstreamDegraded",
        {
            f"spangate_upstream_endpoint_up{{{AT.replace('0.1', f'0.{n}')}}}": f"{int(n < 1)}x60"
            for n in range(3)
        },
        {
            f"spangate_upstream_endpoint_up{{{AT.replace('0.1', f'0.{n}')}}}": f"{int(n < 2)}x60"
            for n in range(3)
        },
    ),
    Trouble(
        "SpangateAccessUnknown",
        {denied("keys_missing"): "0+10x60"},
        {denied("keys_missing"): "10x60", denied("signature"): "0+90x60"},
    ),
    Trouble(
        "SpangateDenials",
        {denied("signature"): "0+900x60"},
        {denied("signature"): "0+30x60", denied("login"): "0+900x60"},
    ),
    Trouble(
        "SpangateEjected",
        {f"spangate_upstream_endpoint_ejected{{{AT}}}": "1x60"},
        {f"spangate_upstream_endpoint_ejected{{{AT}}}": "0x40 1x5 0x20"},
    ),
    Trouble(
        "SpangateBreakerOpen",
        {f"spangate_upstream_breaker_open{{{AT}}}": "2x60"},
        {f"spangate_upstream_breaker_open{{{AT}}}": "0x60"},
    ),
    Trouble(
        "SpangateRetries",
        {
            'spangate_retries_total{spangate_upstream="shop"}': "0+20x60",
            f'{TRIES}{{spangate_upstream="shop"}}': "0+100x60",
        },
        {
            'spangate_retries_total{spangate_upstream="shop"}': "0+5x60",
            f'{TRIES}{{spangate_upstream="shop"}}': "0+100x60",
        },
    ),
    Trouble(
        "SpangateReloadFailed",
        {'spangate_config_last_reload_success{instance="gw"}': "0x60"},
        {'spangate_config_last_reload_success{instance="gw"}': "1x60"},
    ),
    Trouble(
        "SpangateCertificateExpires",  # the tests' clock begins at 0, Unix time
        {'spangate_tls_certificate_expiry_seconds{instance="gw"}': "1000000x120"},
        {'spangate_tls_certificate_expiry_seconds{instance="gw"}': "1300000x120"},
    ),
    Trouble(
        "SpangateWorkersDie",
        {'spangate_worker_restarts_total{instance="gw",spangate_worker="0"}': "0+1x60"},
        {'spangate_worker_restarts_total{instance="gw",spangate_worker="0"}': "1x60"},
    ),
    Trouble(
        "SpangateWorkersDie",
        {'spangate_collector_restarts_total{instance="gw"}': "0+1x60"},
        {'spangate_collector_restarts_total{instance="gw"}': "1x60"},
    ),
    Trouble(
        "SpangateDescriptors",
        {'spangate_descriptors_exhausted_total{instance="gw"}': "0x50 0+1x10"},
        {'spangate_descriptors_exhausted_total{instance="gw"}': "3x60"},
    ),
    Trouble(
        "SpangateDescriptors",
        {
            'process_open_fds{instance="gw",spangate_process="worker"}': "900x60",
            'process_max_fds{instance="gw",spangate_process="worker"}': "1024x60",
        },
        {
            'process_open_fds{instance="gw",spangate_process="worker"}': "700x60",
            'process_max_fds{instance="gw",spangate_process="worker"}': "1024x60",
            'process_open_fds{instance="gw",spangate_process="hub"}': "700x60",
            'process_max_fds{instance="gw",spangate_process="hub"}': "0x60",
            'process_open_fds{instance="db"}': "900x60",
            'process_max_fds{instance="db"}': "1024x60",
        },
    ),
    Trouble(  # as they are written from OTLP
        "SpangateDescriptors",
        {
            'process_unix_file_descriptor_count{instance="gw",spangate_process="hub"}': "900x60",
            'spangate_process_file_descriptor_limit{instance="gw",spangate_process="hub"}': (
                "1024x60"
            ),
        },
        {'process_unix_file_descriptor_count{instance="gw",spangate_process="hub"}': "900x60"},
    ),
    Trouble(
        "SpangateLate",
        {'spangate_loop_lag_seconds{instance="gw",spangate_process="worker"}': "0.2x60"},
        {
            'spangate_loop_lag_seconds{instance="gw",spangate_process="worker"}': "0.02x60",
            'spangate_loop_lag_seconds{instance="gw",spangate_process="hub"}': "0.2x60",
        },
    ),
    Trouble(
        "SpangateTelemetryLost",
        {f'spangate_export_dropped_total{{{EXPORTER},reason="queue_full"}}': "0+1x60"},
        {f'spangate_export_dropped_total{{{EXPORTER},reason="queue_full"}}': "7x60"},
    ),
    Trouble(
        "SpangateQueueFull",
        {
            'otelcol_exporter_queue_size{exporter="otlp",instance="gw"}': "90x60",
            'otelcol_exporter_queue_capacity{exporter="otlp",instance="gw"}': "100x60",
        },
        {
            'otelcol_exporter_queue_size{exporter="otlp",instance="gw"}': "70x60",
            'otelcol_exporter_queue_capacity{exporter="otlp",instance="gw"}': "100x60",
            'otelcol_exporter_queue_size{exporter="disk",instance="gw"}': "90x60",
            'otelcol_exporter_queue_capacity{exporter="disk",instance="gw"}': "0x60",
        },
    ),
    Trouble(
        "SpangateBooksUnbalanced",
        books("0+10x60", "0+8x60", "0x60"),
        {
            **books("0+10x60", "0+8x60", "3x60"),
            f'spangate_export_dropped_total{{{EXPORTER},reason="a"}}': "0+1x60",
            f'spangate_export_dropped_total{{{EXPORTER},reason="b"}}': "-3+1x60",
        },
    ),
    Trouble(
        "SpangatePropagationBroken", contexts("0+10x60", "0+90x60"), contexts("0+1x60", "0+90x60")
    ),
    Trouble("SpangatePropagationBroken", contexts("0+10x60", "0x60"), contexts("0+1x60", "0x60")),
)


def test_each_alert_is_tried() -> None:
    names = {alert.name for found in alerts("spangate").values() for alert in found}
    assert {trouble.alert for trouble in TROUBLES} == names


@needs_promtool
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.alert)
def test_it_is_told_of_and_nothing_is_where_all_is_well(trouble: Trouble, tmp_path: Path) -> None:
    promtool(tmp_path, "check", "rules.yml", rules_of(routes("promising")))
    firing = f'count(ALERTS{{alertname="{trouble.alert}",alertstate="firing"}}) > bool 0'
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": s, "values": v} for s, v in series.items()],
            "promql_expr_test": [
                {
                    "expr": f"{firing} or vector(0)",
                    "eval_time": "60m",
                    "exp_samples": [{"labels": "{}", "value": int(fires)}],
                }
            ],
        }
        for series, fires in ((trouble.bad, True), (trouble.good, False))
        if series
    ]
    text = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    promtool(tmp_path, "test", "test.yml", yaml.safe_dump(text))
