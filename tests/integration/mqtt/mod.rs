//! The standard's behaviour as a client sees it, packet by packet.
//!
//! What is the same for every version is shown for every version; what travels is shown over every transport.

mod connect;
mod deliver;
mod flow;
mod goodbye;
mod keep;
mod old_versions;
mod outgoing_aliases;
mod reasons;
mod retain;
mod subscribe;
mod will;

use tidegate::mqtt::Version;

const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];
