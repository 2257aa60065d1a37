"""The interface as an OpenAPI document."""

from typing import Any

from .. import __version__
from .limits import Limits

ERROR = {"$ref": "#/components/schemas/Error"}
READING = {"$ref": "#/components/schemas/Reading"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
REFUSALS = {
    "400": "No HTTP, or a damaged form.",
    "408": "It took too long to be sent.",
    "413": "Too many bytes, parts or pixels.",
    "415": "No picture in a format that is taken, or a wrong content type.",
    "503": "Too much to do; Retry-After says when to come back.",
}


def describe(limits: Limits) -> dict[str, Any]:
    """Return the document of a server with these limits."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mnist-classification",
            "version": __version__,
            "summary": "Reads the digits on pictures.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            "/": {"get": _get("The page.", {"type": "string"}, "text/html; charset=utf-8")},
            "/read": {"post": _read(limits)},
            "/healthz": {"get": _get("Whether the server answers.", _object(status="string"))},
            "/readyz": {"get": _readiness()},
            "/metadata": {
                "get": _get(
                    "Model, versions, limits.",
                    _object(
                        name="string",
                        version="string",
                        model="object",
                        workers="integer",
                        versions="object",
                        limits="object",
                    ),
                )
            },
            "/openapi.json": {"get": _get("This document.", {"type": "object"})},
        },
        "components": {"schemas": {"Error": _object(error="string"), **_readings()}},
    }


def _read(limits: Limits) -> dict[str, Any]:
    picture = {"type": "string", "contentMediaType": "image/*", "maxLength": limits.max_body_bytes}
    part = {"type": "string", "contentMediaType": "application/octet-stream"}
    several = {"type": "array", "items": part, "minItems": 1, "maxItems": limits.max_parts}
    form = {"type": "object", "properties": {"picture": several}, "required": ["picture"]}
    readings = {"type": "array", "items": READING}
    return {
        "operationId": "read",
        "summary": "Read the digits on one picture, or on those of a form.",
        "description": "The object of a picture is what `mnist predict --json` prints. A form "
        "gives a list, in which what can't be read has an error; the status is 200 if anything "
        "could be read, else 422. The parts may have any names.",
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": picture},
                "application/octet-stream": {"schema": picture},
                "multipart/form-data": {"schema": form},
            },
        },
        "responses": {
            "200": _answer("What was read.", {"oneOf": [READING, readings]}),
            "422": _answer("Damaged pictures.", {"oneOf": [ERROR, readings]}),
            **{status: _answer(text, ERROR) for status, text in REFUSALS.items()},
        },
    }


def _readings() -> dict[str, Any]:
    digit = {
        "label": {"type": "integer", "minimum": 0, "maximum": 9},
        "probability": SHARE,
        "probabilities": {"type": "array", "items": SHARE, "minItems": 10, "maxItems": 10},
        "sure": {"type": "boolean"},
        "box": {
            "description": "Left, top, right, bottom in pixels; the latter two not included.",
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 4,
            "maxItems": 4,
        },
    }
    reading = {
        "file": {"type": "string", "description": "Name of the part, or -."},
        "text": {"type": "string", "pattern": "^[0-9\n]*$", "description": "Lines of digits."},
        "sure": {"type": "boolean"},
        "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
    }
    line = {name: digit[name] for name in ("probability", "sure", "box")} | {
        "text": {"type": "string", "pattern": "^[0-9]+$", "description": "Its digits."},
        "digits": {"type": "array", "items": {"$ref": "#/components/schemas/Digit"}},
    }
    return {
        "Line": {"type": "object", "properties": line, "required": [*line]},
        "Digit": {"type": "object", "properties": digit, "required": [*digit]},
        "Reading": {
            "type": "object",
            "properties": {**reading, "error": {"type": "string"}},
            "required": [*reading],
        },
    }


def _readiness() -> dict[str, Any]:
    state = _object(ready="boolean", workers="integer", room="integer")
    operation = _get("Whether pictures can be read now.", state)
    operation["responses"]["503"] = _answer("Not now.", {"oneOf": [state, ERROR]})
    return operation


def _get(summary: str, schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    answer = _answer("As it says.", schema, media)
    return {
        "summary": summary,
        "responses": {"200": answer, "503": _answer("Too many connections.", ERROR)},
    }


def _answer(text: str, schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {"description": text, "content": {media: {"schema": schema}}}


def _object(**types: str) -> dict[str, Any]:
    properties = {name: {"type": kind} for name, kind in types.items()}
    return {"type": "object", "properties": properties, "required": [*types]}
