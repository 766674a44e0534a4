"""The tools that judge deploy/, and what they make of it. Where one is missing its tests say so.

They are in an environment of their own (`requirements.txt`, installed by `.ci/run`), since they
are large and nothing else here needs them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "spangate"
TOOLS = Path(os.environ.get("SPANGATE_DEPLOY_TOOLS", ROOT / "build" / "deploy-tools")) / "bin"
DEADLINE = 60.0  # seconds for one run of one tool

Object = dict[str, Any]  # of Kubernetes


def tool(name: str) -> str | None:
    """Where a tool is: in the environment of its own, else in PATH."""
    return shutil.which(name, path=str(TOOLS)) or shutil.which(name)


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(tool(name) is None, reason=f"{name} is not installed")


def _has(module: str) -> bool:
    """Whether the environment of the tools has that module."""
    python = TOOLS / "python"
    if not python.exists():
        return False
    words = [str(python), "-c", f"import importlib.util as u; print(bool(u.find_spec('{module}')))"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout == "True\n"


def needs_module(module: str, package: str) -> pytest.MarkDecorator:
    why = f"{package} is not installed in build/deploy-tools"
    return pytest.mark.skipif(not _has(module), reason=why)


needs_kustomize = needs("kubectl")
needs_helm = needs_module("helm_python", "helm-python-sdk")
needs_schemas = needs_module("kubernetes_validate", "kubernetes-validate")


def run(*words: str, text: str = "", env: dict[str, str] | None = None) -> str:
    """What a tool prints; it must succeed."""
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, check=False, timeout=DEADLINE,
        env=os.environ | (env or {}),
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def objects(text: str) -> list[Object]:
    return [found for found in yaml.safe_load_all(text) if found]


@cache
def kustomized(folder: str) -> list[Object]:
    """What `kubectl kustomize` makes of a folder below deploy/kustomize."""
    kubectl = tool("kubectl")
    assert kubectl
    return objects(run(kubectl, "kustomize", str(DEPLOY / "kustomize" / folder)))


_HELM = """
import json, sys
from helm_python import chart
said = json.load(sys.stdin)
try:
    if said["what"] == "lint":
        answer = chart.lint(said["path"], said["values"], strict=True, with_subcharts=True)
    else:
        with chart.Chart.load(said["path"]) as loaded:
            loaded.validate_schema(said["values"])
            answer = loaded.render(said["values"], name=said["name"], namespace=said["namespace"])
except Exception as error:
    answer = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(answer))
"""


def helm(what: str, path: Path = CHART, **values: Any) -> dict[str, Any]:
    """What Helm's own engine says of a chart: `lint`, or `render` by file; {"error": why}."""
    said = {"what": what, "path": str(path), "values": values, "name": "demo", "namespace": "edge"}
    answer: dict[str, Any] = json.loads(
        run(str(TOOLS / "python"), "-c", _HELM, text=json.dumps(said))
    )
    return answer


def charted(path: Path = CHART, **values: Any) -> list[Object]:
    """The objects of a release with these values."""
    files = helm("render", path, **values)
    assert "error" not in files, files["error"]
    return [
        found for name, text in files.items() if name.endswith(".yaml") for found in objects(text)
    ]


_VALIDATE = """
import json, sys, kubernetes_validate
version, found = sys.argv[1], json.load(sys.stdin)
wrong = []
for one in found:
    name = one["kind"] + "/" + one["metadata"]["name"]
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        wrong.append(name + ": no schema")
    except kubernetes_validate.ValidationError as error:
        wrong.append(name + ": " + str(error.path) + ": " + error.message)
print(json.dumps(wrong))
"""


def misfits(found: list[Object], version: str) -> list[str]:
    """Where objects are not as the schemas published with that Kubernetes have them."""
    wrong: list[str] = json.loads(
        run(str(TOOLS / "python"), "-c", _VALIDATE, version, text=json.dumps(found))
    )
    return wrong
