//! The rule language's shape as JSON Schema, for editors and agents. The decoder is stricter (patterns, canonical
//! paths, clashes between endpoints); what it refuses for shape alone, this refuses too.

use serde_json::{Value, json};

/// A policy or a ceiling in the rule language.
pub fn policy() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Narrowgate policy",
        "type": "object",
        "required": ["version", "network_policies"],
        "additionalProperties": false,
        "properties": {
            "version": { "const": 1 },
            "on_miss": { "enum": ["deny", "ask"], "description":
                "What happens to a request that no rule allows: it is denied, or waits for a person." },
            "ask_timeout": { "type": "string", "pattern": "^[1-9][0-9]*[sm]$", "description":
                "With on_miss: ask, how long a request waits: 1s to 60m; left out, 120s." },
            "filesystem_policy": {
                "type": "object", "additionalProperties": false,
                "description": "What of the file system a command under `narrowgate run` may use; left out: not bounded.",
                "properties": {
                    "include_workdir": { "type": "boolean", "description": "The working directory may be written." },
                    "read_only": { "$ref": "#/$defs/paths" },
                    "read_write": { "$ref": "#/$defs/paths" }
                }
            },
            "network_policies": {
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z0-9_.-]{1,100}$" },
                "additionalProperties": { "$ref": "#/$defs/entry" }
            }
        },
        "$defs": definitions()
    })
}

/// The body of `POST http://policy.local/v1/proposals`.
pub fn proposal() -> Value {
    let name = json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,100}$" });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Narrowgate proposal",
        "type": "object",
        "required": ["intent_summary", "operations"],
        "additionalProperties": false,
        "properties": {
            "intent_summary": { "type": "string", "minLength": 1, "maxLength": 2000 },
            "denial_ids": { "type": "array", "maxItems": 100, "items": { "type": "string", "maxLength": 100 } },
            "operations": { "type": "array", "minItems": 1, "maxItems": crate::proposal::MAX_OPERATIONS, "items": {
                "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
                "properties": {
                    "addRule": {
                        "type": "object", "additionalProperties": false, "required": ["ruleName", "rule"],
                        "properties": { "ruleName": name, "rule": { "$ref": "#/$defs/entry" } }
                    },
                    "removeRule": {
                        "type": "object", "additionalProperties": false, "required": ["ruleName"],
                        "properties": { "ruleName": name }
                    },
                    "addAllowRules": {
                        "type": "object", "additionalProperties": false,
                        "required": ["ruleName", "host", "port", "rules"],
                        "properties": {
                            "ruleName": name, "host": { "type": "string" }, "port": { "$ref": "#/$defs/port" },
                            "rules": { "$ref": "#/$defs/rules" }
                        }
                    }
                }
            } }
        },
        "$defs": definitions()
    })
}

/// For which hosts there are credentials: `--credentials`. See [`crate::credentials`].
pub fn credentials() -> Value {
    let port = json!({ "type": "integer", "minimum": 1, "maximum": 65535 });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Narrowgate credentials",
        "description": "Which hosts accept a credential that sandboxes are given. Never the credential itself.",
        "type": "object",
        "required": ["version", "credentials"],
        "additionalProperties": false,
        "properties": {
            "version": { "const": 1 },
            "credentials": { "type": "array", "maxItems": 256, "items": {
                "type": "object", "additionalProperties": false, "required": ["name", "host"],
                "not": { "required": ["port", "ports"] },
                "properties": {
                    "name": { "type": "string", "minLength": 1, "maxLength": 100, "description": "What people call it." },
                    "host": { "type": "string", "description": "A name, an IP literal, *.x, **.x or a*b.x." },
                    "port": port,
                    "ports": { "type": "array", "minItems": 1, "items": port, "description": "Left out: any port." },
                    "scope": { "enum": ["read-only", "read-write", "full"], "description":
                        "What it can do there at most; left out: full." }
                }
            } }
        }
    })
}

fn definitions() -> Value {
    json!({
        "paths": { "type": "array", "maxItems": 256, "items": { "type": "string", "pattern": "^/" } },
        "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
        "rules": { "type": "array", "minItems": 1, "items": {
            "type": "object", "additionalProperties": false, "required": ["allow"],
            "properties": { "allow": { "oneOf": [{ "$ref": "#/$defs/match" }, { "$ref": "#/$defs/operation" }] } }
        } },
        "operation": {
            "type": "object", "additionalProperties": false, "required": ["action"],
            "description": "Requests by what a plugin says they mean.",
            "properties": {
                "action": { "type": "string", "pattern": "^[a-z][a-z0-9_]*::.+$", "description":
                    "A plugin's action, such as github::contents.write." },
                "where": { "type": "object", "description": "Attributes not named are free.",
                    "additionalProperties": { "oneOf": [
                        { "$ref": "#/$defs/values" },
                        { "type": "object", "description": "Of fields: each by its name; fields not named are free.",
                          "additionalProperties": { "$ref": "#/$defs/values" } }
                    ] } }
            }
        },
        "values": { "anyOf": [
            { "$ref": "#/$defs/value" },
            { "type": "object", "additionalProperties": false, "required": ["any"],
              "properties": { "any": { "type": "array", "items": { "$ref": "#/$defs/value" } } } }
        ] },
        "value": { "anyOf": [
            { "type": ["string", "integer", "boolean"], "description":
                "A text, number or truth value; in a text * is any characters but /, a whole segment ** any segments." },
            { "type": "object", "additionalProperties": false, "required": ["exact"],
              "properties": { "exact": { "type": "string", "description": "This text, * and ? included." } } }
        ] },
        "match": {
            "type": "object", "additionalProperties": false, "required": ["method", "path"],
            "properties": {
                "method": { "type": "string", "description": "Upper case, or * for any. GET implies HEAD." },
                "path": { "type": "string", "pattern": "^/", "description":
                    "Over the canonical path: * and ? within a segment, ** for zero or more whole segments, once." },
                "query": { "type": "object", "description": "Keys not named are free.", "additionalProperties": { "oneOf": [
                    { "type": "string", "description": "A glob over the decoded value; * is any characters." },
                    { "type": "object", "additionalProperties": false, "required": ["any"],
                      "properties": { "any": { "type": "array", "minItems": 1, "items": { "type": "string" } } } }
                ] } }
            }
        },
        "entry": {
            "type": "object", "additionalProperties": false, "required": ["endpoints"],
            "properties": {
                "name": { "type": "string", "minLength": 1, "maxLength": 200 },
                "binaries": { "type": "array", "minItems": 1, "description": "Left out: any binary.", "items": {
                    "type": "object", "additionalProperties": false, "required": ["path"],
                    "properties": { "path": { "type": "string", "pattern": "^/" } }
                } },
                "endpoints": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/endpoint" } }
            }
        },
        "endpoint": {
            "type": "object", "additionalProperties": false, "required": ["host"],
            "oneOf": [{ "required": ["port"] }, { "required": ["ports"] }],
            "properties": {
                "host": { "type": "string", "description": "A name, an IP literal, *.x, **.x or a*b.x." },
                "port": { "$ref": "#/$defs/port" },
                "ports": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/port" } },
                "protocol": { "type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$", "description":
                    "tcp, rest, or a plugin's name. Left out: tcp, opaque bytes (L4)." },
                "access": { "enum": ["read-only", "read-write", "full"] },
                "rules": { "$ref": "#/$defs/rules" },
                "deny_rules": { "type": "array", "items": {
                    "oneOf": [{ "$ref": "#/$defs/match" }, { "$ref": "#/$defs/operation" }] } },
                "expires_at": { "type": "string", "format": "date-time" },
                "enforcement": { "const": "enforce" },
                "allow_encoded_slash": { "type": "boolean" },
                "path_params": { "enum": ["refuse", "strip"] },
                "review": { "enum": ["auto", "person"], "description": "In a ceiling only." }
            }
        }
    })
}
