//! client-first and client-final, a line each, to a server that knows the user of RFC 7677 §3: that exchange succeeds, byte for byte, and
//! no other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::auth::PasswordFile;
use tidegate::auth::scram::ClientFirst;

const ENTRY: &str = "user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
    $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n";

const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";

const LAST: &[u8] =
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |&byte| byte == b'\n');
    let (first, last) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let passwords = PasswordFile::parse(ENTRY, "passwords").expect("a password file");
    let proven = ClientFirst::parse(first).and_then(|client| {
        let (verifier, is_known) = passwords.verifier(client.username(), &[7; 32]).expect("SCRAM is offered");
        let (challenge, server_first) = client.challenge(&verifier, is_known, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        assert!(server_first.starts_with("r="));
        challenge.conclude(last)
    });
    assert_eq!(proven.is_ok(), first == FIRST && last == LAST);
});
