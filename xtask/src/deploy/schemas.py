"""Reads YAML as JSON, and compares objects with the schemas that their projects publish.

schemas.py json < YAML                  every document, as one JSON list
schemas.py kubernetes SCHEMAS < YAML    prints what is wrong, one fault a line
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

# Their projects publish no schema that a package registry has. The rules of policy.rs and the
# comparison with the files of the guide stand in for one.
WITHOUT_SCHEMA = {"Middleware", "ServiceMonitor"}


def closed(schema):
    """As Kubernetes judges a custom resource with strict field validation."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema


def custom(folder):
    """The schemas of custom resources, by apiVersion and kind."""
    found = {}
    for file in pathlib.Path(folder).glob("*.yaml"):
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def kubernetes(objects, folder):
    schemas = custom(folder)
    for one in objects:
        named = f"{one['kind']} {one['metadata']['name']}"
        schema = schemas.get((one["apiVersion"], one["kind"]))
        try:
            if schema:
                jsonschema.validate(one, schema)
            elif one["kind"] not in WITHOUT_SCHEMA:
                kubernetes_validate.validate(one, "1.37", strict=True)
        except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as fault:
            path = ".".join(map(str, fault.path))
            yield f"{named}: {path}: {fault.message}"
        except kubernetes_validate.InvalidSchemaError as fault:
            yield f"{named}: {fault}"


def main():
    what, *folder = sys.argv[1:]
    documents = [one for one in yaml.safe_load_all(sys.stdin) if one]
    if what == "json":
        json.dump(documents, sys.stdout)
        return
    for fault in kubernetes(documents, *folder):
        print(fault)


main()
