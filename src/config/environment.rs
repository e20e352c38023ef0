//! `TIDEGATE_…` variables as part of the configuration: `TIDEGATE_TLS__CERT` is `tls.cert`.
//!
//! A value is typed by the key it sets, never by its own looks: a password file called `00123` stays that. Lists and mappings are written
//! as YAML in one line, of which JSON is a part.

use std::ffi::OsString;

use figment::value::{Dict, Value};

use super::schema::{self, Key, Kind, ROOT, Shape};
use super::yaml;
use crate::fault::{Fault, suggestion};

/// What the name of every variable begins with.
pub const PREFIX: &str = "TIDEGATE_";

/// Parts the levels of a key.
const LEVEL: &str = "__";

/// One variable that sets a key.
#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    pub path: Vec<&'static str>,
    pub value: Value,
}

impl Variable {
    /// The tree that holds this one value.
    #[must_use]
    pub fn tree(&self) -> Dict {
        let mut value = self.value.clone();
        for name in self.path.iter().skip(1).rev() {
            value = Value::from(Dict::from([((*name).to_owned(), value)]));
        }
        self.path.first().map(|name| Dict::from([((*name).to_owned(), value)])).unwrap_or_default()
    }
}

/// Picks out of `environment` what configures Tidegate, in the order of the names.
///
/// # Errors
/// All variables that set nothing, or are no text.
pub fn read(environment: impl IntoIterator<Item = (OsString, OsString)>) -> (Vec<Variable>, Vec<Fault>) {
    let mut variables = Vec::new();
    let mut faults = Vec::new();
    for (name, text) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if is_service_link(name) {
            continue;
        }
        match variable(name, text) {
            Ok(variable) => variables.push(variable),
            Err(fault) => faults.push(fault),
        }
    }
    // A whole section before the keys in it, so that both count.
    variables.sort_by(|a, b| a.name.cmp(&b.name));
    faults.sort_by(|a, b| a.origin.cmp(&b.origin));
    (variables, faults)
}

/// The variable that sets the key at `path`.
#[must_use]
pub fn name_of(path: &[&str]) -> String {
    format!("{PREFIX}{}", path.join(LEVEL).to_ascii_uppercase())
}

fn variable(name: &str, text: OsString) -> Result<Variable, Fault> {
    let (path, key) = find(name).ok_or_else(|| unknown(name))?;
    let key_path = path.join(".");
    let text = text.into_string().map_err(|_| Fault::new(name, &key_path, "bytes that are no UTF-8", "UTF-8 text"))?;
    let value = value(&key.kind, &text).map_err(|found| Fault::new(name, key_path, found, key.kind.allowed()))?;
    Ok(Variable { name: name.to_owned(), path, value })
}

fn find(name: &str) -> Option<(Vec<&'static str>, &'static Key)> {
    let mut found = None;
    schema::walk(ROOT, &mut |path, key| {
        let named = name_of(path);
        let is_below = || name.strip_prefix(&named).is_some_and(|rest| rest.starts_with(LEVEL));
        if named == name || matches!(key.kind, Kind::Later) && is_below() {
            found = Some((path.to_vec(), key));
        }
    });
    found
}

fn unknown(name: &str) -> Fault {
    let mut known = Vec::new();
    schema::walk(ROOT, &mut |path, key| {
        if !matches!(key.kind, Kind::Later) {
            known.push(name_of(path));
        }
    });
    // What all of them begin with must not make them look alike.
    let ending = |name: &'_ str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let endings: Vec<String> = known.iter().map(|name| ending(name)).collect();
    let allowed = match suggestion(&ending(name), endings.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {PREFIX}{near}?"),
        None => format!("{PREFIX} and the key's path with {LEVEL} between levels, such as TIDEGATE_TLS__CERT"),
    };
    Fault::new(name, "", "sets no key", allowed)
}

/// Types `text` by what the key takes; the error says what was found.
fn value(kind: &'static Kind, text: &str) -> Result<Value, String> {
    let is_flow = text.trim_start().starts_with(['[', '{']);
    match kind.of_shape(Shape::Scalar) {
        Some(Kind::Flag) => Ok(text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from)),
        Some(Kind::Count { .. }) => Ok(text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)),
        Some(scalar) if !is_flow || scalar.shape() == kind.shape() => Ok(Value::from(text)),
        _ if matches!(kind, Kind::Later) => Ok(Value::from("")),
        _ => yaml::parse(text).map(|node| yaml::to_value(&node)).map_err(|fault| format!("no YAML ({})", fault.found)),
    }
}

/// Whether Kubernetes wrote the variable: it tells every pod of a Service called `tidegate` by `TIDEGATE_SERVICE_HOST`,
/// `TIDEGATE_PORT_8443_TCP_ADDR` and the like. No key has such a name.
fn is_service_link(name: &str) -> bool {
    let is_port = |rest: &str| {
        let mut parts = rest.split('_');
        let number =
            parts.next().is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        let protocol = parts.next().is_some_and(|part| matches!(part, "TCP" | "UDP" | "SCTP"));
        let detail = parts.next().is_none_or(|part| matches!(part, "PROTO" | "PORT" | "ADDR"));
        number && protocol && detail && parts.next().is_none()
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && !name.contains(LEVEL))
        || name.match_indices("_PORT_").any(|(at, mark)| is_port(&name[at + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> Result<Variable, Fault> {
        let (variables, faults) = read([(name.into(), text.into())]);
        variables.into_iter().next().ok_or_else(|| faults.into_iter().next().unwrap())
    }

    #[test]
    fn the_key_types_the_value() {
        assert_eq!(one("TIDEGATE_AUTH__PASSWORDS", "00123").unwrap().value.as_str(), Some("00123"));
        assert_eq!(one("TIDEGATE_AUTH__ANONYMOUS", "true").unwrap().value.to_bool(), Some(true));
        assert_eq!(one("TIDEGATE_ENGINE__INFLIGHT_MAX", "12").unwrap().value.to_u128(), Some(12));
        assert_eq!(one("TIDEGATE_WEBSOCKET__ORIGINS", "any").unwrap().value.as_str(), Some("any"));
        let listen = one("TIDEGATE_LISTEN", r#"["https://0.0.0.0:443"]"#).unwrap();
        assert_eq!(listen.value.as_array().unwrap()[0].as_str(), Some("https://0.0.0.0:443"));
    }

    #[test]
    fn unknown_variables_are_faults_that_suggest() {
        let fault = one("TIDEGATE_TLS__CRT", "secret").unwrap_err();
        assert_eq!(fault.to_string(), "TIDEGATE_TLS__CRT: sets no key; did you mean TIDEGATE_TLS__CERT?");
        assert!(one("TIDEGATE_TLS_CERT", "x").unwrap_err().allowed.contains("TIDEGATE_TLS__CERT"));
        assert!(one("TIDEGATE_COLOUR", "x").is_err());
    }

    #[test]
    fn what_kubernetes_tells_of_a_service_is_no_configuration() {
        let links = [
            "TIDEGATE_SERVICE_HOST",
            "TIDEGATE_SERVICE_PORT",
            "TIDEGATE_SERVICE_PORT_HTTPS",
            "TIDEGATE_PORT",
            "TIDEGATE_PORT_8443_TCP",
            "TIDEGATE_PORT_8443_TCP_ADDR",
            "TIDEGATE_EDGE_PORT_8443_TCP_PROTO",
        ];
        for name in links {
            assert!(is_service_link(name), "{name}");
        }
        schema::walk(ROOT, &mut |path, _| assert!(!is_service_link(&name_of(path)), "{path:?}"));
        assert!(!is_service_link("TIDEGATE_TLS__CERT") && !is_service_link("TIDEGATE_PORT_NUMBER"));
    }

    #[test]
    fn others_variables_are_not_read() {
        let (variables, faults) = read([("HOME".into(), "/root".into()), ("TIDEGATE".into(), "x".into())]);
        assert!(variables.is_empty() && faults.is_empty());
    }
}
