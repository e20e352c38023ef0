//! One Session.

use std::sync::Arc;

use crate::mqtt::ClientId;

/// One Session.
#[derive(Debug)]
pub(crate) struct Session {
    client_id: ClientId,
}

/// A Network Connection's hold on its session.
///
/// It stays valid until another connection takes the session over or the session ends; after that every call with it does nothing.
#[derive(Clone, Debug)]
pub struct Attached {
    pub(crate) session: Arc<Session>,
    pub(crate) generation: u32,
}

impl Attached {
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.session.client_id
    }
}

impl Session {
    pub(crate) fn new(client_id: ClientId) -> Self {
        Self { client_id }
    }
}
