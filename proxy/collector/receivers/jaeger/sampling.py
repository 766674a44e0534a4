"""What Jaeger's remote sampling answers for each service, as JSON made once.

Pure. The server is the receiver's. Source: jaeger-idl `thrift/sampling.thrift` in the JSON form of
`GET /sampling?service=`, where enumerations are names; clients look at operationSampling first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from proxy.collector.receivers.jaeger.settings import RemoteSampling, Strategy


class Strategies:
    """The answer for every service."""

    __slots__ = ("_by_service", "_default")

    def __init__(self, settings: RemoteSampling) -> None:
        self._default = _answer(Strategy(), settings.probability)
        self._by_service: Mapping[str, bytes] = {
            name: _answer(strategy, settings.probability)
            for name, strategy in settings.services.items()
        }

    def find(self, service: str) -> bytes:
        return self._by_service.get(service, self._default)


def _answer(strategy: Strategy, default: float) -> bytes:
    if strategy.traces_per_second:
        rate = {"maxTracesPerSecond": strategy.traces_per_second}
        return _json({"strategyType": "RATE_LIMITING", "rateLimitingSampling": rate})
    probability = default if strategy.probability is None else strategy.probability
    answer: dict[str, Any] = {
        "strategyType": "PROBABILISTIC",
        "probabilisticSampling": {"samplingRate": float(probability)},
    }
    if strategy.operations:
        answer["operationSampling"] = {
            "defaultSamplingProbability": float(probability),
            "defaultLowerBoundTracesPerSecond": 0,
            "perOperationStrategies": [
                {"operation": name, "probabilisticSampling": {"samplingRate": float(share)}}
                for name, share in strategy.operations.items()
            ],
        }
    return _json(answer)


def _json(answer: object) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
