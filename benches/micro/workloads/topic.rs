//! Topic Names and Topic Filters.

use divan::black_box;
use tidegate::mqtt::{TopicFilter, TopicName};

use super::TOPIC;

pub(super) fn parse() -> Box<dyn FnMut()> {
    Box::new(|| assert!(TopicName::parse(black_box(TOPIC)).is_ok()))
}

pub(super) fn matches(filter: &str) -> Box<dyn FnMut()> {
    let filter = TopicFilter::parse(filter).expect("the filter is valid");
    Box::new(move || {
        black_box(filter.matches(black_box(TOPIC)));
    })
}
