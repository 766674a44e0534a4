"""[collector] as it is checked: every mistake with its place and what to write instead."""

from __future__ import annotations

import subprocess
import sys

import pytest

from proxy.collector.registry import COMPONENTS
from proxy.config.load import loads
from proxy.config.observe import Collector
from proxy.errors import ConfigError

GOOD = """
[collector.receivers.otlp]
grpc = "127.0.0.1:4317"
[collector.processors.batch]
timeout = "1s"
[collector.exporters."otlp_http/backend"]
endpoint = "http://127.0.0.1:14318"
headers = { x-api-key = "${KEY:-k}" }
[collector.pipelines.traces]
receivers  = ["gateway", "otlp"]
processors = ["batch"]
exporters  = ["otlp_http/backend"]
"""


def read(text: str) -> Collector:
    collector = loads(text, "routes.toml", {}).config.collector
    assert collector is not None
    return collector


def problems(text: str) -> list[str]:
    try:
        return [str(problem) for problem in loads(text, "routes.toml", {}).warnings]
    except ConfigError as error:
        return [str(problem) for problem in error.problems]


def test_components_have_the_settings_of_their_type() -> None:
    collector = read(GOOD)
    assert collector.processors["batch"].timeout == 1.0
    assert collector.exporters["otlp_http/backend"].headers == {"x-api-key": "k"}
    assert collector.pipelines["traces"].receivers == ["gateway", "otlp"]


def test_there_is_none_by_default() -> None:
    text = "[[route]]\nrespond = { status = 204 }"
    assert loads(text, "routes.toml", {}).config.collector is None


MISTAKES = {
    "a key of a component": ("timeout =", "timout =", "did you mean `timeout`?"),
    "a unit": ('"1s"', "1", "a duration needs a unit"),
    "a type": ("processors.batch", "processors.bach", "no processor of type 'bach'"),
    "an id": ("receivers.otlp", "receivers.'ot lp'", "'ot lp' is not a component id"),
    "a reference": ('"otlp"]', '"otpl"]', "there is no receiver 'otpl' (did you mean `otlp`?)"),
    "a repetition": ('["batch"]', '["batch", "batch"]', "'batch' is named twice"),
    "an empty list": ('["otlp_http/backend"]', "[]", "a pipeline needs exporters"),
    "no list": ('["otlp_http/backend"]', '"x"', "expected a list, got a string"),
    "a signal": ("pipelines.traces", "pipelines.spans", "'spans' is not a signal"),
    "a signal it has not": ("pipelines.traces", "pipelines.profiles", "'gateway' has no profiles"),
    "a scheme": ('endpoint = "http', 'endpoint = "ftp', "ftp:// is not an OTLP transport"),
    "a header": ("x-api-key", '"x api"', "'x api' is not a header name"),
    "an address": ('"127.0.0.1:4317"', '"4317"', "'4317' is not an address"),
    "nothing": ('grpc = "127.0.0.1:4317"', "", "neither `grpc` nor `http` is given"),
    "a section": ("collector.receivers.", "collector.receiver.", "unknown key"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_with_their_line(name: str) -> None:
    old, new, said = MISTAKES[name]
    line = 1 + next(n for n, text in enumerate(GOOD.splitlines()) if old in text)
    found = problems(GOOD.replace(old, new, 1))
    (problem,) = [problem for problem in found if said in problem]
    # What is missing is told where its table begins, what does not fit where it is named.
    tolerance = 1 if name in ("nothing", "a signal it has not") else 0
    assert abs(int(problem.split(":")[1]) - line) <= tolerance


def test_one_mistake_is_told_once() -> None:
    found = problems(GOOD.replace("timeout =", "timout ="))
    assert len(found) == 1


def test_what_is_not_used_is_told() -> None:
    (found,) = problems(GOOD + '[collector.processors."batch/2"]\n')
    assert "warning" in found
    assert "no pipeline names it" in found


def test_the_memory_limiter_comes_first() -> None:
    text = GOOD.replace('["batch"]', '["batch", "memory_limiter"]')
    (found,) = problems(text + "[collector.processors.memory_limiter]\nlimit_mib = 100\n")
    assert "memory_limiter is not the first" in found


FORWARD = """
[collector.connectors.forward]
[collector.connectors."forward/2"]
[collector.exporters.console]
[collector.pipelines.traces]
receivers = ["gateway"]
exporters = ["forward"]
[collector.pipelines."traces/2"]
receivers = ["forward"]
exporters = ["forward/2"]
[collector.pipelines."traces/3"]
receivers = ["forward/2"]
exporters = ["console"]
"""


def test_connectors() -> None:
    assert problems(FORWARD) == []


def test_connectors_must_not_lead_back() -> None:
    text = FORWARD.replace('receivers = ["forward"]', 'receivers = ["forward", "forward/2"]')
    assert any("back to it" in problem for problem in problems(text))


def test_a_connector_has_an_id_of_its_own() -> None:
    text = FORWARD.replace("[collector.exporters.console]", "[collector.exporters.forward]")
    assert any("exporters" in problem for problem in problems(text))


@pytest.mark.parametrize("name", ["otlp", "otlp_grpc", "otlphttp", "otlp_http"])
def test_old_and_new_names(name: str) -> None:
    collector = read(f"[collector.exporters.{name}]\n")
    assert list(collector.exporters) == [name]


def test_no_name_means_two_things() -> None:
    seen: set[tuple[str, str]] = set()
    for component in COMPONENTS:
        for name in (component.type, *component.aliases):
            assert (component.kind, name) not in seen
            seen.add((component.kind, name))


def test_checking_imports_nothing_heavy() -> None:
    """Settings of all components together, in a process of their own."""
    code = """
import sys
from proxy.collector.registry import COMPONENTS
from proxy.config.load import loads
loads("[collector.processors.batch]", "f", {})
for component in COMPONENTS:
    if component.built:
        component.settings()
heavy = ("grpc", "google", "aiohttp", "opentelemetry", "asyncio", "aiokafka", "elasticsearch")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_that_are_secret_are_not_shown() -> None:
    from proxy.config.load import redacted

    auth = 'auth = { bearer = ["hush"], basic = { ada = "psst" } }'
    text = GOOD.replace("receivers.otlp]", f"receivers.otlp]\n{auth}")
    shown = redacted(loads(text.replace("${KEY:-k}", "shh"), "routes.toml", {}))
    text = str(shown["collector"])
    assert "REDACTED" in text
    assert not any(secret in text for secret in ("hush", "psst", "shh"))
    assert shown["collector"]["processors"]["batch"]["timeout"] == "1s"
