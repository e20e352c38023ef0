use super::*;

#[test]
fn hash_includes_the_parent_level() {
    assert!(matches("a/#", "a"));
    assert!(!matches("a/+", "a"));
}
