"""`/docs`: the API with examples, made of /openapi.json; nothing is fetched from elsewhere, and no script runs."""

import json
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

_CSS = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
summary { cursor: pointer; padding: .4rem 0; } summary code { font-weight: 600; }
details { border-top: 1px solid #8886; } table { border-collapse: collapse; margin: .5rem 0; }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid #8886; border-radius: 6px; }
.method { display: inline-block; min-width: 4.5em; }
"""


@router.get("/docs.css")
async def css() -> Response:
    return Response(_CSS, media_type="text/css")


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """Every route, what it takes and an example to paste into a terminal."""
    spec = request.app.openapi()
    base = str(request.base_url).rstrip("/")
    groups: dict[str, list[str]] = {}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            group = (operation.get("tags") or ["other"])[0]
            groups.setdefault(group, []).append(_operation(spec, base, path, method, operation))
    parts = [f"<h2>{escape(group)}</h2>{''.join(found)}" for group, found in groups.items()]
    return HTMLResponse(
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>rigbus: HTTP</title>"
        "<meta name='viewport' content='width=device-width'><link rel='stylesheet' href='/docs.css'>"
        "<h1>What can be asked over HTTP</h1><p>The same for programs: <a href='/openapi.json'>/openapi.json</a>. The "
        "WebSockets /live and /ws are in docs/http.md. Where tokens are set: "
        "<code>-H 'Authorization: Bearer …'</code>.</p>" + "".join(parts)
    )


def _operation(spec: dict[str, Any], base: str, path: str, method: str, operation: dict[str, Any]) -> str:
    text = operation.get("description") or operation.get("summary") or ""
    rows = [_parameter(parameter) for parameter in operation.get("parameters", ())]
    table = f"<table><tr><th>parameter<th>in<th>type<th>what{''.join(rows)}</table>" if rows else ""
    return (
        f"<details><summary><span class='method'>{method.upper()}</span> <code>{escape(path)}</code> "
        f"{escape(text.splitlines()[0] if text else '')}</summary><p>{escape(text)}</p>{table}"
        f"<pre>{escape(_example(spec, base, path, method, operation))}</pre></details>"
    )


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    kind = schema.get("type") or " or ".join(x.get("type", "") for x in schema.get("anyOf", ()) if x.get("type"))
    default = f", default {json.dumps(schema['default'])}" if schema.get("default") is not None else ""
    needed = ", required" if parameter.get("required") else ""
    cells = parameter["name"], parameter["in"], f"{kind}{default}{needed}", parameter.get("description", "")
    return "<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells)


def _example(spec: dict[str, Any], base: str, path: str, method: str, operation: dict[str, Any]) -> str:
    """A line of curl."""
    query = []
    for parameter in operation.get("parameters", ()):
        found = _shown(parameter)
        if parameter["in"] == "path" and found is not None:
            path = path.replace(f"{{{parameter['name']}}}", str(found))
        elif parameter["in"] == "query" and found is not None:
            query.append(f"{parameter['name']}={found}")
    url = f"{base}{path}{'?' + '&'.join(query) if query else ''}"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return f"curl {'' if method == 'get' else f'-X {method.upper()} '}'{url}'"
    body = json.dumps(_body(spec, content))
    return f"curl -X {method.upper()} '{url}' -H 'Content-Type: application/json' -d '{body}'"


def _shown(parameter: dict[str, Any]) -> Any:
    """The parameter's example; None: it has none."""
    if "example" in parameter:
        return parameter["example"]
    examples = parameter.get("examples") or parameter.get("schema", {}).get("examples")
    if isinstance(examples, dict):
        return next((example.get("value") for example in examples.values()), None)
    return examples[0] if examples else None


def _body(spec: dict[str, Any], content: dict[str, Any]) -> Any:
    if "example" in content:
        return content["example"]
    if content.get("examples"):
        return next(iter(content["examples"].values()))["value"]
    schema = content.get("schema", {})
    for part in (schema, *schema.get("anyOf", ())):
        if "$ref" in part:
            part = spec["components"]["schemas"][part["$ref"].rpartition("/")[2]]
        if part.get("examples"):
            return part["examples"][0]
        if part.get("properties"):
            needed = part.get("required", ())
            return {name: _value(field) for name, field in part["properties"].items() if name in needed}
    return {}


def _value(field: dict[str, Any]) -> Any:
    for key in ("const", "default"):
        if key in field:
            return field[key]
    if field.get("examples"):
        return field["examples"][0]
    some: dict[str, Any] = {"string": "…", "number": 1.0, "integer": 1, "boolean": True, "array": []}
    return some.get(field.get("type", ""), "…")
