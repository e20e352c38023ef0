//! Who has come in with a certificate, and what it is worth after a reload.
//!
//! Only connections that have shown one are here: of each, its chain, which takes some hundreds of bytes.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use crate::connection::{ClientCertificate, Standing};

/// The open connections of one listener whose clients have shown a certificate.
#[derive(Default)]
pub(super) struct Guests(Mutex<Book>);

#[derive(Default)]
struct Book {
    guests: Vec<Arc<Guest>>,
    /// At this many those who have left are struck off.
    tidied_at: usize,
}

struct Guest {
    standing: Weak<Standing>,
    chain: Box<[CertificateDer<'static>]>,
}

/// Below this many nobody is struck off but by a check.
const TIDIED_MIN: usize = 64;

impl Guests {
    /// Enters a connection; it is in the book for as long as what is returned lives.
    pub(super) fn enter(&self, chain: &[CertificateDer<'static>]) -> Arc<Standing> {
        let standing = Arc::<Standing>::default();
        let guest = Guest { standing: Arc::downgrade(&standing), chain: chain.into() };
        let mut book = self.0.lock();
        if book.guests.len() >= book.tidied_at.max(TIDIED_MIN) {
            book.tidy();
        }
        book.guests.push(Arc::new(guest));
        standing
    }

    /// Ends the standing of everybody whose chain `refuse` gives a reason against. Returns how many there were.
    pub(super) fn check<E: std::fmt::Display>(&self, refuse: impl Fn(&[CertificateDer<'_>]) -> Option<E>) -> usize {
        // Signatures are verified without the lock: newcomers do not wait for it.
        let guests = {
            let mut book = self.0.lock();
            book.tidy();
            book.guests.clone()
        };
        let mut ended_count = 0;
        for guest in guests {
            let Some(standing) = guest.standing.upgrade().filter(|standing| !standing.is_over()) else { continue };
            let Some(reason) = refuse(&guest.chain) else { continue };
            standing.end();
            ended_count += 1;
            if let Some(Ok(certificate)) = guest.chain.first().map(|leaf| ClientCertificate::parse(leaf)) {
                let (subject, serial) = (&certificate.subject, &certificate.serial);
                tracing::info!(%subject, %serial, %reason, "Connection ends: its client certificate is no longer accepted");
            }
        }
        ended_count
    }
}

impl Book {
    fn tidy(&mut self) {
        self.guests.retain(|guest| guest.standing.strong_count() > 0);
        self.guests.shrink_to(self.guests.len() * 2);
        self.tidied_at = self.guests.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_is_struck_off() {
        let guests = Guests::default();
        let kept: Vec<_> = (0..10).map(|_| guests.enter(&[])).collect();
        for _ in 0..10_000 {
            drop(guests.enter(&[]));
        }
        assert!(guests.0.lock().guests.len() <= TIDIED_MIN);
        assert_eq!(guests.check(|_| None::<&str>), 0);
        assert_eq!(guests.0.lock().guests.len(), 10);
        assert_eq!(guests.check(|_| Some("revoked")), 10);
        assert_eq!(guests.check(|_| Some("revoked")), 0, "once");
        assert!(kept.iter().all(|standing| standing.is_over()));
    }
}
