//! Any bytes as a client certificate: no panic, and whoever it names can stand as a username, by the same name in the policy's claims.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use tidegate::auth::{CertificateName, ClientCertificate};

fuzz_target!(|data: &[u8]| {
    let Ok(certificate) = ClientCertificate::parse(data) else { return };
    assert_eq!(certificate.fingerprint.len(), 64);
    assert!(!certificate.subject.chars().any(|character| character.is_ascii_control()), "{:?}", certificate.subject);
    for name in CertificateName::ALL {
        let Ok(principal) = certificate.principal(name, None, Duration::ZERO, Instant::now()) else { continue };
        assert!(!principal.username.is_empty() && *principal.username != *"anonymous" && !principal.is_anonymous);
        assert!(!principal.username.chars().any(char::is_control));
        assert!(principal.has_claim(name.name(), &principal.username));
        let said = format!("{}x", principal.username);
        assert!(certificate.principal(name, Some(&said), Duration::ZERO, Instant::now()).is_err());
    }
});
