//! Which pages of other origins may read what a route answers (Fetch Standard, "HTTP extensions").
//!
//! Pure. What a server behind says about this is replaced: one place decides. Errors carry the fields too, as a page could not read
//! otherwise what went wrong, and `Vary: Origin` is on every answer, or a cache would hand one page's answer to another.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request;
use hyper::{Method, Response, StatusCode};

use super::super::config::CorsConfig;
use super::answer::{self, Body};
use super::origin::{Origin, Origins};
use super::upgrade;

/// What a route allows pages of other origins.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Origins,
    methods: HeaderValue,
    /// `None`: whatever is asked for.
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: HeaderValue,
    has_credentials: bool,
}

/// What one request's page may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The value of Access-Control-Allow-Origin.
    Page(HeaderValue),
    /// Nothing, or it is no page of another origin.
    None,
}

impl Cors {
    /// # Errors
    /// What was found that cannot stand, and what is allowed.
    pub(crate) fn new(config: &CorsConfig) -> Result<Self, (String, &'static str)> {
        let origins =
            Origins::new(&config.origins).map_err(|unsound| (format!("`{}`", unsound.join("`, `")), ORIGINS))?;
        if config.has_credentials && matches!(origins, Origins::Any) {
            return Err(("any page, with credentials".into(), "a list of origins, or no credentials"));
        }
        let list = |items: &[String]| {
            HeaderValue::from_str(&items.join(", "))
                .map_err(|_| (format!("{items:?}"), "names without control characters"))
        };
        let some = |items: &[String]| (!items.is_empty()).then(|| list(items)).transpose();
        Ok(Self {
            origins,
            methods: list(&config.methods)?,
            headers: some(&config.headers)?,
            exposed: some(&config.exposed)?,
            max_age: HeaderValue::from(config.max_age.as_secs()),
            has_credentials: config.has_credentials,
        })
    }

    /// What the page behind a request may; `own` is the origin the request was sent to.
    pub(crate) fn judge(&self, head: &request::Parts, own: Option<&Origin>) -> Grant {
        match upgrade::one(&head.headers, header::ORIGIN) {
            Some(origin) if self.origins.allow(origin, own) => match &self.origins {
                Origins::Any => Grant::Page(HeaderValue::from_static("*")),
                Origins::List { .. } => HeaderValue::from_bytes(origin).map_or(Grant::None, Grant::Page),
            },
            _ => Grant::None,
        }
    }

    /// The answer, if the request only asks what may be asked.
    pub(crate) fn preflight(&self, head: &request::Parts, grant: &Grant) -> Option<Response<Body>> {
        let asked = &head.headers;
        let is_preflight = head.method == Method::OPTIONS
            && asked.contains_key(header::ORIGIN)
            && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight {
            return None;
        }
        if *grant == Grant::None {
            return Some(answer::text(StatusCode::FORBIDDEN, "Pages of this origin may not read what is here."));
        }
        let mut response = answer::empty(StatusCode::NO_CONTENT);
        answer::set(&mut response, header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        answer::set(&mut response, header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        let headers = self.headers.as_ref().or_else(|| asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS));
        if let Some(headers) = headers {
            answer::set(&mut response, header::ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        let vary = "Access-Control-Request-Method, Access-Control-Request-Headers";
        answer::set(&mut response, header::VARY, HeaderValue::from_static(vary));
        Some(response)
    }

    /// Says on an answer what was granted.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, grant: Grant) {
        for name in OF_ANSWERS {
            headers.remove(name);
        }
        let varies =
            upgrade::items(headers, header::VARY).any(|item| item == b"*" || item.eq_ignore_ascii_case(b"origin"));
        if !varies {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Grant::Page(origin) = grant else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.has_credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(exposed) = &self.exposed {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

const ORIGINS: &str = "same, any, or origins such as https://app.example:8443, without a path";

/// What a server behind may have said itself.
const OF_ANSWERS: [HeaderName; 3] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::Request;

    use super::super::super::config::OriginRule;
    use super::*;

    fn config(origins: OriginRule) -> CorsConfig {
        CorsConfig { origins, max_age: Duration::from_secs(60), ..CorsConfig::default() }
    }

    fn list(origins: &[&str]) -> OriginRule {
        OriginRule::List(origins.iter().map(|&origin| origin.to_owned()).collect())
    }

    fn head(method: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method(method);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn only_listed_pages_are_granted_anything() {
        let cors = Cors::new(&config(list(&["https://app.example"]))).expect("it is sound");
        let judged = |origin| cors.judge(&head("GET", &[("origin", origin)]), None);
        assert_eq!(judged("https://app.example"), Grant::Page(HeaderValue::from_static("https://app.example")));
        for origin in ["https://app.example.evil", "http://app.example", "null", "", "https://app.exampl"] {
            assert_eq!(judged(origin), Grant::None, "{origin}");
        }
        let twice = head("GET", &[("origin", "https://app.example"), ("origin", "https://app.example")]);
        assert_eq!(cors.judge(&twice, None), Grant::None);
        let any = Cors::new(&config(OriginRule::Any)).expect("it is sound");
        let grant = any.judge(&head("GET", &[("origin", "https://x.example")]), None);
        assert_eq!(grant, Grant::Page(HeaderValue::from_static("*")));
    }

    #[test]
    fn not_every_page_gets_everybodys_credentials() {
        let with = |origins| CorsConfig { has_credentials: true, ..config(origins) };
        assert!(Cors::new(&with(OriginRule::Any)).is_err());
        assert!(Cors::new(&with(list(&["https://app.example"]))).is_ok());
        assert!(Cors::new(&config(list(&["app.example"]))).is_err());
    }

    #[test]
    fn a_preflight_is_answered() {
        let cors = Cors::new(&config(list(&["https://app.example"]))).expect("it is sound");
        let asked = [
            ("origin", "https://app.example"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-a, x-b"),
        ];
        let preflight = head("OPTIONS", &asked);
        let grant = cors.judge(&preflight, None);
        let mut response = cors.preflight(&preflight, &grant).expect("it is one");
        cors.tell(response.headers_mut(), grant);
        let headers = response.headers();
        assert_eq!(response.status(), 204);
        assert_eq!(headers["access-control-allow-origin"], "https://app.example");
        assert_eq!(headers["access-control-allow-methods"], "GET, HEAD, POST, PUT, PATCH, DELETE");
        assert_eq!(headers["access-control-allow-headers"], "x-a, x-b");
        assert_eq!(headers["access-control-max-age"], "60");
        assert_eq!(headers.get_all("vary").iter().count(), 2);
        assert!(cors.preflight(&head("OPTIONS", &asked[..1]), &Grant::None).is_none());
        assert!(cors.preflight(&head("GET", &asked), &Grant::None).is_none());
        let refused = cors.preflight(&preflight, &Grant::None).expect("it is one");
        assert_eq!(refused.status(), 403);
    }

    #[test]
    fn what_a_server_says_itself_does_not_count() {
        let cors = Cors::new(&config(list(&["https://app.example"]))).expect("it is sound");
        let mut headers = HeaderMap::new();
        headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
        headers.insert("access-control-allow-credentials", HeaderValue::from_static("true"));
        headers.insert("vary", HeaderValue::from_static("Accept, origin"));
        cors.tell(&mut headers, Grant::None);
        assert_eq!(headers.len(), 1, "{headers:?}");
    }
}
