//! The demo page: three files that are part of the binary, and the fields that keep them to themselves.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::{self, Body};

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const ASSETS: &[Asset] = &[
    Asset { name: "index.html", content_type: "text/html; charset=utf-8", content: include_str!("demo/index.html") },
    Asset { name: "demo.css", content_type: "text/css; charset=utf-8", content: include_str!("demo/demo.css") },
    Asset { name: "demo.js", content_type: "text/javascript; charset=utf-8", content: include_str!("demo/demo.js") },
];

/// The page takes nothing from elsewhere, runs nothing that is written into it, and is shown in nobody's frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file called `name`, where the page itself has no name.
pub(crate) fn answer(name: &str, headers: &HeaderMap) -> Response<Body> {
    let name = if name.is_empty() { "index.html" } else { name };
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return answer::text(StatusCode::NOT_FOUND, "There is nothing here.");
    };
    // The files change with the binary only.
    let tag = concat!("\"", env!("CARGO_PKG_VERSION"), "-");
    let tag = format!("{tag}{:x}\"", fingerprint(asset.content));
    let unchanged = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| value.as_bytes() == tag.as_bytes());
    let mut response = match unchanged {
        true => answer::empty(StatusCode::NOT_MODIFIED),
        false => answer::with_content(StatusCode::OK, asset.content_type, asset.content),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer::set(&mut response, header::ETAG, tag);
    }
    let fields = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fields {
        answer::set(&mut response, name, HeaderValue::from_static(value));
    }
    response
}

/// FNV-1a: tells two builds of a file apart, nothing more.
fn fingerprint(content: &str) -> u64 {
    content.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_there_with_its_type_and_policy() {
        for (name, content_type) in [("", "text/html"), ("demo.css", "text/css"), ("demo.js", "text/javascript")] {
            let response = answer(name, &HeaderMap::new());
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            let field = |name| String::from_utf8_lossy(response.headers()[name].as_bytes()).into_owned();
            assert!(field(header::CONTENT_TYPE).starts_with(content_type));
            assert!(field(header::CONTENT_SECURITY_POLICY).contains("default-src 'none'"));
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, response.headers()[header::ETAG].clone())]);
            assert_eq!(answer(name, &headers).status(), StatusCode::NOT_MODIFIED);
        }
        assert_eq!(answer("../Cargo.toml", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for asset in ASSETS {
            for outside in ["https://", "http://", "@import", "<script>", " onclick=", " style="] {
                let svg = asset.content.replace("http://www.w3.org/", "");
                assert!(!svg.contains(outside), "{} holds {outside}", asset.name);
            }
        }
    }
}
