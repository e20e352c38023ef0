//! What routes and Origin rules are written as.

use std::collections::BTreeSet;

use super::written::{Typed, Written};
use crate::edge::{OriginRule, PathMatch, RouteAction, RouteConfig};
use crate::fault::Fault;

const ORIGIN_ALLOWED: &str =
    "same, any, or scheme://host with a port if it is not the usual one, such as https://app.example";
const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// Reads the list `routes` of `section`.
pub(super) fn routes(section: &Written, faults: &mut Vec<Fault>) -> Vec<RouteConfig> {
    let mut seen = BTreeSet::new();
    let mut routes = Vec::new();
    for item in section.items("routes") {
        let path = path(item, faults);
        let action = action(item, faults);
        let origins = item.get("origins").and_then(|origins| origin_rule(origins, faults));
        if let (Some(PathMatch::Prefix(text)), place) | (Some(PathMatch::Exact(text)), place) =
            (&path, path_value(item))
            && !seen.insert((matches!(path, Some(PathMatch::Exact(_))), text.clone()))
        {
            faults.extend(place.map(|place| place.fault(format!("{text} has a route already"), "one route a path")));
        }
        if let (Some(path), Some(action)) = (path, action) {
            misplaced(item, &action, faults);
            routes.push(RouteConfig { path, action, origins });
        }
    }
    routes
}

/// Reads a word or a list of origins.
pub(super) fn origin_rule(written: &Written, faults: &mut Vec<Fault>) -> Option<OriginRule> {
    let Typed::List(items) = &written.typed else { return Some(origins_of([written], faults)) };
    if items.is_empty() {
        faults.push(written.fault("an empty list", ORIGIN_ALLOWED));
        return None;
    }
    if let Some(any) = items.iter().find(|item| item.as_text() == Some("any") && items.len() > 1) {
        faults.push(any.fault("any beside others", "any alone, or a list without it"));
    }
    Some(origins_of(items, faults))
}

fn origins_of<'a>(items: impl IntoIterator<Item = &'a Written>, faults: &mut Vec<Fault>) -> OriginRule {
    let mut origins = Vec::new();
    for item in items {
        let Some(text) = item.as_text() else { continue };
        match text {
            "any" => return OriginRule::Any,
            "same" => origins.push(text.to_owned()),
            _ => match parse_origin(text) {
                Some(origin) => origins.push(origin),
                None => faults.push(item.fault(format!("{text:?}"), ORIGIN_ALLOWED)),
            },
        }
    }
    if origins.iter().all(|origin| origin == "same") { OriginRule::Same } else { OriginRule::List(origins) }
}

fn path_value(item: &Written) -> Option<&Written> {
    item.get("path").or_else(|| item.get("exact"))
}

fn path(item: &Written, faults: &mut Vec<Fault>) -> Option<PathMatch> {
    match (item.get("path"), item.get("exact")) {
        (Some(path), None) => url_path(path, faults).map(PathMatch::Prefix),
        (None, Some(exact)) => url_path(exact, faults).map(PathMatch::Exact),
        (Some(_), Some(exact)) => {
            faults.push(exact.fault("path and exact", "one of them"));
            None
        }
        (None, None) => {
            faults.push(item.fault("neither path nor exact", "one of them"));
            None
        }
    }
}

fn action(item: &Written, faults: &mut Vec<Fault>) -> Option<RouteAction> {
    let named: Vec<&Written> = ["serve", "files", "redirect"].iter().filter_map(|key| item.get(key)).collect();
    let [_] = named[..] else {
        if faults.iter().any(|fault| fault.key.starts_with(&format!("{}.", item.path))) {
            return None; // What was meant to say it is at fault already.
        }
        let found = if named.is_empty() { "nothing that the route does" } else { "several things that the route does" };
        let place = named.last().copied().unwrap_or(item);
        faults.push(place.fault(found, "one of serve, files, redirect"));
        return None;
    };
    if let Some(root) = item.path("files") {
        let fallback = item.get("fallback").and_then(|fallback| url_path(fallback, faults));
        return Some(RouteAction::Files { root, fallback });
    }
    if let Some(to) = item.get("redirect") {
        return redirect(item, to, faults);
    }
    match item.text("serve")? {
        "mqtt" => Some(RouteAction::ServeMqtt),
        "json" => Some(RouteAction::ServeJson),
        _ => Some(RouteAction::Demo),
    }
}

fn redirect(item: &Written, to: &Written, faults: &mut Vec<Fault>) -> Option<RouteAction> {
    let text = to.as_text()?;
    let is_target = text.starts_with('/') || text.starts_with("https://") || text.starts_with("http://");
    if !is_target || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        faults.push(to.fault(format!("{text:?}"), "a path that begins with /, or an http(s) URL, without spaces"));
        return None;
    }
    let status = item.count("status").unwrap_or(301);
    match REDIRECT_STATUSES.into_iter().find(|allowed| u64::from(*allowed) == status) {
        Some(status) => Some(RouteAction::Redirect { to: text.to_owned(), status }),
        None => {
            let fault =
                item.get("status").map(|written| written.fault(status.to_string(), "301, 302, 303, 307 or 308"));
            faults.extend(fault);
            None
        }
    }
}

/// Names the keys of a route that have no effect on what it does.
fn misplaced(item: &Written, action: &RouteAction, faults: &mut Vec<Fault>) {
    let is_websocket = matches!(action, RouteAction::ServeMqtt | RouteAction::ServeJson);
    let rules = [
        ("fallback", matches!(action, RouteAction::Files { .. }), "files"),
        ("status", matches!(action, RouteAction::Redirect { .. }), "redirect"),
        ("origins", is_websocket, "serve: mqtt or serve: json"),
    ];
    for (key, belongs, to) in rules {
        if let Some(written) = item.get(key).filter(|_| !belongs) {
            faults.push(written.fault("has no effect here", format!("with {to} only")));
        }
    }
}

fn url_path(written: &Written, faults: &mut Vec<Fault>) -> Option<String> {
    let text = written.as_text()?;
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte));
    if is_path {
        return Some(text.to_owned());
    }
    faults.push(written.fault(format!("{text:?}"), "a URL path that begins with / and holds no space, ? or #"));
    None
}

/// An origin as browsers write it (RFC 6454 §6.2): small letters, no usual port, no path.
fn parse_origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, None),
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_host = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte))
        && (host.starts_with('[') == host.contains(':'));
    if !is_scheme || !is_host {
        return None;
    }
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let port_usual = match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    match port.filter(|port| Some(*port) != port_usual) {
        Some(port) => Some(format!("{scheme}://{host}:{port}")),
        None => Some(format!("{scheme}://{host}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_become_what_browsers_send() {
        let cases = [
            ("https://App.Example", Some("https://app.example")),
            ("https://app.example:443", Some("https://app.example")),
            ("http://app.example:8080", Some("http://app.example:8080")),
            ("http://[::1]:80", Some("http://[::1]")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("https://app.example/", None),
            ("https://*.example", None),
            ("https://u@app.example", None),
            ("app.example", None),
            ("null", None),
            ("https://", None),
            ("https://app.example:x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_origin(text).as_deref(), expected, "{text:?}");
        }
    }
}
