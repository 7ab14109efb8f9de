"""The stand-ins of published model code, against what was read of that code (tests/integration/engines/published.json).

They are read, not imported: that needs neither PyTorch nor the transformers of their time.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ENGINES = Path(__file__).parents[1] / "integration" / "engines"
PUBLISHED: dict[str, Any] = json.loads((ENGINES / "published.json").read_text(encoding="utf-8"))
MODULES = [(family, module) for family, facts in PUBLISHED.items() for module in facts["modules"]]


@dataclass(frozen=True)
class Written:
    """What a module or class of a stand-in defines; arguments as ``name=default``."""

    arguments: dict[str, list[str]]
    fields: list[str]
    attributes: frozenset[str]
    properties: frozenset[str]


def arguments(function: ast.FunctionDef) -> list[str]:
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + given.defaults
    told = [_argument(*pair) for pair in zip(plain, defaults, strict=True)]
    if given.vararg:
        told.append(f"*{given.vararg.arg}")
    elif given.kwonlyargs:
        told.append("*")
    told += [_argument(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return told + ([f"**{given.kwarg.arg}"] if given.kwarg else [])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return argument.arg if default is None else f"{argument.arg}={ast.unparse(default)}"


def written(node: ast.Module | ast.ClassDef) -> Written:
    functions = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    return Written(
        arguments={function.name: arguments(function) for function in functions},
        fields=[
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        ],
        attributes=frozenset(
            each.attr
            for function in functions
            for each in ast.walk(function)
            if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and ast.unparse(each.value) == "self"
        ),
        properties=frozenset(
            function.name for function in functions if "property" in map(ast.unparse, function.decorator_list)
        ),
    )


def source(family: str, module: str) -> ast.Module:
    file = ENGINES / "models" / "stand_ins" / family / f"{module}.py"
    return ast.parse(file.read_text(encoding="utf-8"))


def classes(family: str, module: str) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in source(family, module).body if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize(("family", "module"), MODULES)
def test_functions_take_the_published_arguments_and_no_public_one_is_our_own(family: str, module: str) -> None:
    found = written(source(family, module)).arguments
    published = PUBLISHED[family]["modules"][module].get("functions", {})

    assert {name: found.get(name) for name in published} == published
    assert {name for name in found if not name.startswith("_")} <= published.keys()


@pytest.mark.parametrize(("family", "module"), MODULES)
def test_methods_take_the_published_arguments_and_no_public_one_is_our_own(family: str, module: str) -> None:
    found = {name: written(node).arguments for name, node in classes(family, module).items()}
    published = {
        name: facts.get("methods", {})
        for name, facts in PUBLISHED[family]["modules"][module].get("classes", {}).items()
    }
    listed = {name: {method: found[name].get(method) for method in methods} for name, methods in published.items()}
    public = {
        name: {method for method in methods if not method.startswith("_")}
        for name, methods in found.items()
        if not name.startswith("_")
    }

    assert listed == published
    assert {name: methods - published[name].keys() for name, methods in public.items()} == {
        name: set() for name in published
    }


@pytest.mark.parametrize(("family", "module"), MODULES)
def test_classes_hold_the_published_parts(family: str, module: str) -> None:
    found = {name: written(node) for name, node in classes(family, module).items()}
    published = PUBLISHED[family]["modules"][module].get("classes", {})

    assert {name: facts["fields"] for name, facts in published.items() if "fields" in facts} == {
        name: found[name].fields for name, facts in published.items() if "fields" in facts
    }
    for name, facts in published.items():
        assert set(facts.get("attributes", [])) <= found[name].attributes, name
        assert found[name].properties == set(facts.get("properties", [])), name


@pytest.mark.parametrize("family", PUBLISHED)
def test_the_stand_in_is_of_the_published_files_and_says_what_it_is(family: str) -> None:
    files = {file.stem: file for file in (ENGINES / "models" / "stand_ins" / family).glob("[!_]*.py")}

    assert files.keys() == PUBLISHED[family]["modules"].keys()
    for file in files.values():
        assert (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").startswith(
            "A stand-in written for"
        )


@pytest.mark.parametrize("family", PUBLISHED)
def test_the_maker_writes_the_published_fields_of_the_configuration(family: str) -> None:
    maker = ast.parse((ENGINES / "models" / f"{family}.py").read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(maker) if isinstance(node, ast.Constant) and isinstance(node.value, str)}

    assert set(PUBLISHED[family]["config"]) <= texts
