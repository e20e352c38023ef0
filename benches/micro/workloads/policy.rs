//! Verdicts. What loading a policy costs is in `cargo bench --bench policy`.

use divan::black_box;
use tidegate::{
    auth::Principal,
    mqtt::{QoS, TopicFilter},
    policy::{Access, Policy, SubscribeVerdict},
};

use super::{PAYLOAD, TOPIC};

/// `roles` roles of ten rules each, of which the client has one.
fn text(roles: usize) -> String {
    let mut text = "version: 1\nroles:\n".to_owned();
    for role in 0..roles {
        text += &format!("  role{role}:\n");
        for rule in 0..8 {
            text += &format!("    - {{ topic: \"site/{role}/{rule}/+/state\", rw: r }}\n");
        }
        text += "    - { topic: \"/p/${username}/upload\", rw: rw }\n";
        text += "    - { topic: \"/p/+/secret/#\", deny: rw }\n";
    }
    text + "users: { client: [role0] }\n"
}

fn access(roles: usize) -> Access {
    let policy = Policy::parse(&text(roles), "bench").expect("the policy is valid");
    let who = Principal::user("client");
    policy.bind(&who, "client-1").expect("the name binds")
}

pub(super) fn publish(roles: usize) -> Box<dyn FnMut()> {
    let access = access(roles);
    Box::new(move || assert!(access.publish(black_box(TOPIC), QoS::AtMostOnce, false, PAYLOAD.len()).allow))
}

pub(super) fn subscribe() -> Box<dyn FnMut()> {
    let access = access(10);
    let filter = TopicFilter::parse("site/0/3/+/state").expect("the filter is valid");
    Box::new(move || {
        let verdict = access.subscribe(black_box(&filter), QoS::AtMostOnce);
        assert!(matches!(verdict, SubscribeVerdict::Granted { .. }));
    })
}
