//! The table from request path to route: an exact path beats every prefix, the longest prefix beats the others.
//!
//! Pure. Prefixes fit byte for byte, as an nginx `location` does; paths come from [`decode_path`], decoded and without dot segments.

use super::super::config::PathMatch;

/// Routes by path.
#[derive(Debug)]
pub(crate) struct Routes<R> {
    /// Sorted by path.
    exact: Vec<(String, R)>,
    /// Longest first.
    prefixes: Vec<(String, R)>,
}

impl<R> Routes<R> {
    /// # Errors
    /// The paths that more than one route claims.
    pub(crate) fn new(routes: impl IntoIterator<Item = (PathMatch, R)>) -> Result<Self, Vec<PathMatch>> {
        let (mut exact, mut prefixes) = (Vec::new(), Vec::new());
        for (path, route) in routes {
            match path {
                PathMatch::Exact(path) => exact.push((path, route)),
                PathMatch::Prefix(path) => prefixes.push((path, route)),
            }
        }
        exact.sort_by(|(a, _), (b, _)| a.cmp(b));
        prefixes.sort_by(|(a, _): &(String, R), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        let twice = |list: &[(String, R)]| -> Vec<String> {
            list.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0.clone()).collect()
        };
        let contradictions: Vec<_> = twice(&exact)
            .into_iter()
            .map(PathMatch::Exact)
            .chain(twice(&prefixes).into_iter().map(PathMatch::Prefix))
            .collect();
        if contradictions.is_empty() { Ok(Self { exact, prefixes }) } else { Err(contradictions) }
    }

    /// The route for `path`, and how many bytes of it the route's own path takes.
    pub(crate) fn find(&self, path: &str) -> Option<(&R, usize)> {
        if let Ok(index) = self.exact.binary_search_by(|(exact, _)| exact.as_str().cmp(path)) {
            return Some((&self.exact[index].1, path.len()));
        }
        let (prefix, route) = self.prefixes.iter().find(|(prefix, _)| path.starts_with(prefix.as_str()))?;
        Some((route, prefix.len()))
    }
}

/// Decodes the path of a request target for routing (RFC 3986 §2.1).
///
/// Escapes are resolved, but `%2F` stays as it is: a slash inside a segment does not separate segments. `None` for what no honest
/// client sends, and what readers disagree on: broken escapes, control characters, bytes that are no UTF-8, dot segments (browsers
/// resolve them before they send), an empty path.
pub(crate) fn decode_path(raw: &str) -> Option<String> {
    if !raw.starts_with('/') {
        return None;
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        match u8::try_from(high * 16 + low).ok()? {
            b'/' => decoded.extend_from_slice(b"%2F"),
            byte => decoded.push(byte),
        }
    }
    let path = String::from_utf8(decoded).ok()?;
    let sound = !path.contains(|c: char| c.is_control() || c == '\\') && !path.split('/').any(is_dot_segment);
    sound.then_some(path)
}

/// Also where the slashes beside it are escaped.
fn is_dot_segment(segment: &str) -> bool {
    segment.split("%2F").any(|part| part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes<&'static str> {
        let prefix = |path: &str| PathMatch::Prefix(path.into());
        Routes::new([
            (prefix("/"), "root"),
            (prefix("/ws/"), "ws"),
            (prefix("/ws/deep/"), "deep"),
            (prefix("/mqtt"), "mqtt"),
            (PathMatch::Exact("/ws/deep/".into()), "exact"),
        ])
        .expect("no contradiction")
    }

    #[test]
    fn the_longest_prefix_wins_and_exact_beats_it() {
        for (path, expected) in [
            ("/", "root"),
            ("/ws", "root"),
            ("/ws/", "ws"),
            ("/ws/a", "ws"),
            ("/ws/deep/a", "deep"),
            ("/ws/deep/", "exact"),
            ("/mqtt", "mqtt"),
            ("/mqttx", "mqtt"),
            ("/MQTT", "root"),
        ] {
            assert_eq!(routes().find(path).map(|(route, _)| *route), Some(expected), "{path}");
        }
        assert_eq!(routes().find("/ws/deep/a"), Some((&"deep", 9)));
        assert_eq!(routes().find("*"), None);
    }

    #[test]
    fn two_routes_for_one_path_contradict() {
        let twice = Routes::new([
            (PathMatch::Prefix("/a".into()), 1),
            (PathMatch::Exact("/a".into()), 2),
            (PathMatch::Prefix("/a".into()), 3),
        ]);
        assert_eq!(twice.expect_err("one path twice"), [PathMatch::Prefix("/a".into())]);
    }

    #[test]
    fn paths_are_decoded_once_and_hold_no_dot_segments() {
        assert_eq!(decode_path("/%6dqtt").as_deref(), Some("/mqtt"));
        assert_eq!(decode_path("/a%2fb").as_deref(), Some("/a%2Fb"));
        assert_eq!(decode_path("/%25%32%65").as_deref(), Some("/%2e"));
        assert_eq!(decode_path("/%C3%A9").as_deref(), Some("/é"));
        assert_eq!(decode_path("/..a/...").as_deref(), Some("/..a/..."));
        for raw in [
            "",
            "a",
            "*",
            "/%",
            "/%4",
            "/%zz",
            "/%00",
            "/%0a",
            "/%ff",
            "/.",
            "/..",
            "/a/../b",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a/..%2f",
            "/%2F..%2Fetc",
            "/a\\..\\b",
            "/%5c..%5c",
        ] {
            assert_eq!(decode_path(raw), None, "{raw}");
        }
    }

    proptest::proptest! {
        /// The table answers as a look at every route in turn does.
        #[test]
        fn the_table_agrees_with_looking_at_every_route(
            paths in proptest::collection::btree_set("/[ab/]{0,4}", 1..8),
            exact in proptest::collection::vec(proptest::bool::ANY, 8),
            asked in "/[ab/]{0,6}",
        ) {
            let routes: Vec<_> = paths.into_iter().zip(exact).map(|(path, exact)| match exact {
                true => PathMatch::Exact(path),
                false => PathMatch::Prefix(path),
            }).collect();
            let fits = |route: &&PathMatch| match route {
                PathMatch::Exact(path) => asked == *path,
                PathMatch::Prefix(path) => asked.starts_with(path.as_str()),
            };
            let weight = |route: &&PathMatch| match route {
                PathMatch::Exact(_) => usize::MAX,
                PathMatch::Prefix(path) => path.len(),
            };
            let expected = routes.iter().filter(fits).max_by_key(weight).cloned();
            let table = Routes::new(routes.iter().map(|route| (route.clone(), route.clone()))).expect("paths differ");
            proptest::prop_assert_eq!(table.find(&asked).map(|(route, _)| route.clone()), expected);
        }

        /// A decoded path leads nowhere but down.
        #[test]
        fn no_decoded_path_climbs(raw in "/([a.%25eEfF/\\\\]|%2[eEfF]|%5[cC]|\\.\\.){0,12}") {
            if let Some(path) = decode_path(&raw) {
                let climbs = path.replace("%2F", "/").split(['/', '\\']).any(|segment| segment == "..");
                proptest::prop_assert!(!climbs, "{} -> {}", raw, path);
            }
        }
    }
}
