//! The service's description of itself (`src/http/openapi.yaml`), as far as a test needs it: which route an answer belongs
//! to, and whether the answer is what the description says. Small, because the description uses little of JSON Schema.

use super::service::Answer;
use farthing::yaml::Node;
use serde_json::Value;
use std::sync::LazyLock;

pub static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/openapi.yaml")).unwrap();
    serde_json::from_str(&Node::parse(&text).unwrap().to_json()).unwrap()
});

/// Fails where an answer is not one that the description promises.
pub fn check(method: &str, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap();
    let Some(operation) = operation(method, path) else {
        assert!(matches!(answer.status, 404 | 405), "{method} {path} is not described and answers {}", answer.status);
        return;
    };
    let response = resolve(&operation["responses"][answer.status.to_string()]);
    assert!(response.is_object(), "{method} {path} answers {}, which is not described: {}", answer.status, answer.text());
    let content_type = answer.header("content-type").unwrap_or_default().split(';').next().unwrap();
    let Some(content) = response.get("content") else { return assert!(answer.body.is_empty()) };
    let schema = &content[content_type]["schema"];
    assert!(!schema.is_null(), "{method} {path} answers {} as {content_type}, which is not described", answer.status);
    if (content_type == "application/json" || content_type.ends_with("+json"))
        && let Err(why) = matches(&answer.json(), schema, "answer")
    {
        panic!("{method} {path} answers {} and {why}: {}", answer.status, answer.text());
    }
}

fn operation<'d>(method: &str, path: &str) -> Option<&'d Value> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    let fits = |described: &str| {
        let (described, path): (Vec<_>, Vec<_>) = (described.split('/').collect(), path.split('/').collect());
        described.len() == path.len() && described.iter().zip(&path).all(|(part, found)| part.starts_with('{') || part == found)
    };
    // A path without parameters is meant before one with.
    let path = paths.get(path).or_else(|| paths.iter().find(|(described, _)| fits(described)).map(|(_, path)| path))?;
    path.get(method.to_lowercase())
}

fn resolve(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => reference.trim_start_matches("#/").split('/').fold(&*DESCRIPTION, |value, part| &value[part]),
        None => value,
    }
}

fn matches(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let schema = resolve(schema);
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let fitting = choices.iter().filter(|choice| matches(value, choice, at).is_ok()).count();
        return if fitting == 1 { Ok(()) } else { Err(format!("{at} fits {fitting} of the choices")) };
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return if words.contains(value) { Ok(()) } else { Err(format!("{at} is {value}, which is none of {words:?}")) };
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the description uses the type {other}"),
    };
    if !types.iter().any(|kind| is(kind)) {
        return Err(format!("{at} is {value}, which is no {types:?}"));
    }
    if let Some(fields) = value.as_object() {
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !fields.contains_key(required.as_str().unwrap()) {
                return Err(format!("{at} has no {required}"));
            }
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, field) in fields {
                let property = properties.get(name).ok_or_else(|| format!("{at}.{name} is not described"))?;
                matches(field, property, &format!("{at}.{name}"))?;
            }
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        for (place, item) in items.iter().enumerate() {
            matches(item, schema, &format!("{at}[{place}]"))?;
        }
    }
    Ok(())
}
