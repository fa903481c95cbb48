//! The description of the routes as a page: made from the same text as `/openapi.json`, without scripts, so that it can be
//! read anywhere.

use super::answer::typed;
use super::service::OPENAPI;
use crate::yaml::{Node, Value};
use axum::response::Response;
use std::fmt::Write;
use std::sync::LazyLock;

static PAGE: LazyLock<String> = LazyLock::new(|| page(&Node::parse(OPENAPI).expect("a test reads the description")));

pub async fn show() -> Response {
    typed(PAGE.as_str(), "text/html; charset=utf-8")
}

fn page(description: &Node) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Farthing: the doors</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
         code,h2{font-family:ui-monospace,monospace}h2{font-size:1.1rem;margin:2rem 0 .3rem;border-top:1px solid #ddd;padding-top:1rem}\
         h2 b{display:inline-block;min-width:4.5rem}table{border-collapse:collapse}td{padding:.1rem 1rem .1rem 0;vertical-align:top}\
         p{margin:.3rem 0;white-space:pre-line}@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}h2{border-color:#444}}</style>",
    );
    let info = get(description, &["info"]);
    let _ = write!(html, "<h1>{}</h1><p>{}</p>", text(info, "title"), text(info, "description"));
    html.push_str("<p>The same as <a href=\"/openapi.json\">OpenAPI</a>.</p>");
    for (path, methods) in pairs(get(description, &["paths"])) {
        for (method, operation) in pairs(Some(methods)) {
            let operation = Some(operation);
            let _ = write!(html, "<h2><b>{}</b> {}</h2>", method.to_uppercase(), escaped(path));
            let _ = write!(html, "<p>{}</p><p>{}</p>", text(operation, "summary"), text(operation, "description"));
            html.push_str("<table>");
            for parameter in list(operation.and_then(|operation| get(operation, &["parameters"]))) {
                let parameter = Some(parameter);
                let _ = write!(html, "<tr><td><code>{}</code><td>{}", text(parameter, "name"), text(parameter, "description"));
            }
            for (status, response) in pairs(operation.and_then(|operation| get(operation, &["responses"]))) {
                let _ = write!(html, "<tr><td><code>{}</code><td>{}", escaped(status), text(Some(response), "description"));
            }
            html.push_str("</table>");
        }
    }
    html.push_str("<h1>Problems</h1><table>");
    for (kind, meaning) in pairs(get(description, &["x-problems"])) {
        let _ = write!(
            html,
            "<tr id=\"{0}\"><td><code>{0}</code><td>{1}",
            escaped(kind),
            escaped(meaning.scalar().unwrap_or_default())
        );
    }
    html.push_str("</table></html>");
    html
}

fn get<'n>(node: &'n Node<'n>, path: &[&str]) -> Option<&'n Node<'n>> {
    path.iter().try_fold(node, |node, name| match &node.value {
        Value::Map(pairs) => pairs.iter().find(|(key, _)| key.name == *name).map(|(_, node)| node),
        _ => None,
    })
}

fn pairs<'n>(node: Option<&'n Node<'n>>) -> impl Iterator<Item = (&'n str, &'n Node<'n>)> {
    let pairs = match node.map(|node| &node.value) {
        Some(Value::Map(pairs)) => pairs.as_slice(),
        _ => &[],
    };
    pairs.iter().map(|(key, node)| (&*key.name, node))
}

fn list<'n>(node: Option<&'n Node<'n>>) -> &'n [Node<'n>] {
    match node.map(|node| &node.value) {
        Some(Value::List(nodes)) => nodes,
        _ => &[],
    }
}

fn text(node: Option<&Node>, name: &str) -> String {
    escaped(node.and_then(|node| get(node, &[name])).and_then(Node::scalar).unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
