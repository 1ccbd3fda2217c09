//! A port's document at `/openapi.json`, held against the port itself. Not here: schemas and answers, which schemathesis compares (`conformance`).

use std::collections::HashSet;

use serde_json::Value;

use super::http::Answer;

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// Asks for every path of the document by every method: those that it has reach a handler, all others are 405 and `Allow` names just those that it has.
/// Returns the paths.
pub async fn holds(ask: impl AsyncFn(&str) -> Answer) -> Vec<String> {
    let document = ask("GET /openapi.json").await.ok();
    assert_eq!(
        (&document["openapi"], &document["info"]["version"]),
        (&"3.1.0".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let mut ids = HashSet::new();
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        let item = item.as_object().unwrap();
        for (method, operation) in item {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "{id} twice");
            let responses = operation["responses"].as_object().unwrap();
            assert!(operation["summary"].is_string() && responses.contains_key("500"), "{method} {path}: {operation}");
            let in_path: Vec<&str> = parameters(operation, "path").map(|one| one["name"].as_str().unwrap()).collect();
            let in_template: Vec<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(in_path, in_template, "{method} {path}");
        }
        for method in METHODS {
            let operation = item.get(&method.to_ascii_lowercase());
            let mut of_example = path.clone();
            for one in parameters(operation.unwrap_or_else(|| item.values().next().unwrap()), "path") {
                let (name, example) = (one["name"].as_str().unwrap(), one["example"].as_str().unwrap());
                of_example = of_example.replace(&format!("{{{name}}}"), example);
            }
            if path == "/bench" {
                of_example += "?seconds=0.1"; // for it measures
            }
            let answer = ask(&format!("{method} {of_example}")).await;
            let told = String::from_utf8_lossy(&answer.body).into_owned();
            let Some(operation) = operation else {
                answer.error(405);
                let allowed = answer.header("allow").unwrap().split(',').filter(|name| *name != "HEAD");
                let allowed: HashSet<String> = allowed.map(str::to_ascii_lowercase).collect();
                assert_eq!(allowed, item.keys().cloned().collect(), "{path}");
                continue;
            };
            let reached = answer.status != 405 && !(answer.status == 404 && told.contains("no route"));
            assert!(reached, "{method} {of_example}: {} {told}", answer.status);
            let status = answer.status.to_string();
            assert!(operation["responses"].get(&status).is_some(), "{method} {of_example}: {status} is not documented");
        }
    }
    references(&document, &document);
    paths.keys().cloned().collect()
}

fn parameters<'a>(operation: &'a Value, place: &'a str) -> impl Iterator<Item = &'a Value> {
    let all = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(move |one| one["in"] == place)
}

/// Every reference in `value` leads somewhere.
fn references(document: &Value, value: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|value| references(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| references(document, value)),
        _ => {}
    }
}
