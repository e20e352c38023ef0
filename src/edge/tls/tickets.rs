//! The keys that session tickets are sealed with (RFC 5077 §4), replaced from time to time.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{GetRandomFailed, aws_lc_rs};
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;

/// Seals with one key for `rotation`, and opens what was sealed with it for as long again. Not more than six hours: the library's own keys,
/// of which each of these is one, last that long.
pub(super) fn ticketer(rotation: Duration) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    let seconds = u32::try_from(rotation.as_secs()).unwrap_or(u32::MAX).clamp(1, ROTATION_MAX_S);
    Ok(Arc::new(TicketRotator::new(seconds, || {
        let key = aws_lc_rs::Ticketer::new().map_err(|_| GetRandomFailed)?;
        Ok(Box::new(Key(key)))
    })?))
}

const ROTATION_MAX_S: u32 = 6 * 3600;

/// The library gives its own behind one kind of pointer, and takes others' behind another.
#[derive(Debug)]
struct Key(Arc<dyn ProducesTickets>);

impl ProducesTickets for Key {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_opened_by_who_sealed_it() {
        let (one, other) = (ticketer(Duration::from_secs(60)).unwrap(), ticketer(Duration::from_secs(60)).unwrap());
        let sealed = one.encrypt(b"session").unwrap();
        assert_eq!(one.decrypt(&sealed).as_deref(), Some(&b"session"[..]));
        assert_eq!(other.decrypt(&sealed), None);
        assert_eq!((one.enabled(), one.lifetime()), (true, 120));
    }
}
