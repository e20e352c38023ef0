use proptest::prelude::*;

use super::*;

// RFC 7677 §3.
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn pencil() -> Verifier {
    let salt = STANDARD.decode(SALT).unwrap();
    Verifier { iterations: 4096, keys: Keys::of_password(b"pencil", &salt, 4096), salt: salt.into() }
}

fn challenge(client_first: &str, is_known: bool) -> (Challenge, String) {
    ClientFirst::parse(client_first.as_bytes()).unwrap().challenge(&pencil(), is_known, NONCE)
}

#[test]
fn the_exchange_of_rfc_7677() {
    let (challenge, server_first) = challenge(CLIENT_FIRST, true);
    assert_eq!(server_first, SERVER_FIRST);
    let proven = challenge.conclude(CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!((&*proven.username, &*proven.server_final), ("user", SERVER_FINAL));
}

/// RFC 5802 §5 has SHA-1; its messages are of the same form.
#[test]
fn the_messages_of_rfc_5802() {
    let first = ClientFirst::parse(b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL").unwrap();
    assert_eq!((first.username(), &*first.nonce, &*first.gs2_header), ("user", "fyko+d2lbbFgONRv9qkxdawL", "n,,"));
    let salt = STANDARD.decode("QSXCR+Q6sek8bf92").unwrap();
    let verifier = Verifier { salt: salt.into(), ..pencil() };
    let (_, server_first) = first.challenge(&verifier, true, "3rfcNHYJY1ZVvWVs7j");
    assert_eq!(server_first, "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
}

#[test]
fn an_unknown_user_fails_at_the_end_even_with_the_right_proof() {
    let (challenge, server_first) = challenge(CLIENT_FIRST, false);
    assert_eq!(server_first, SERVER_FIRST);
    assert_eq!(challenge.conclude(CLIENT_FINAL.as_bytes()), Err(ScramError::WrongProof));
}

#[test]
fn whatever_is_changed_in_client_final_fails() {
    let conclude = |message: &str| challenge(CLIENT_FIRST, true).0.conclude(message.as_bytes());
    for (from, to, error) in [
        ("p=dHzb", "p=eHzb", ScramError::WrongProof),
        ("p=dHzb", "p=zb", ScramError::Malformed),
        ("VQ=", "VQ", ScramError::Malformed),
        ("dVQ=", "", ScramError::Malformed),
        ("c=biws", "c=eSws", ScramError::OtherExchange),
        ("c=biws", "c=", ScramError::OtherExchange),
        ("c=biws", "c=!", ScramError::Malformed),
        ("c=biws,", "", ScramError::Malformed),
        ("r=rOpr", "r=rOpx", ScramError::OtherExchange),
        ("hNlF$k0", "hNlF$k", ScramError::OtherExchange),
        ("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "", ScramError::OtherExchange),
        // A signed extension that is passed over changes what is signed.
        (",p=", ",x=y,p=", ScramError::WrongProof),
        (",p=", ",m=y,p=", ScramError::Malformed),
        (",p=", ",p", ScramError::Malformed),
    ] {
        let changed = CLIENT_FINAL.replacen(from, to, 1);
        assert_ne!(changed, CLIENT_FINAL);
        assert_eq!(conclude(&changed), Err(error), "{changed}");
    }
    assert_eq!(conclude(""), Err(ScramError::Malformed));
    assert_eq!(conclude(&"x".repeat(MESSAGE_BYTES_MAX + 1)), Err(ScramError::TooLong));
}

#[test]
fn client_first_messages_are_told_apart() {
    let username = |message: &str| ClientFirst::parse(message.as_bytes()).map(|first| first.username);
    for (message, name) in [
        ("n,,n=user,r=x", "user"),
        ("y,,n=user,r=x", "user"),
        ("n,a=user,n=user,r=x", "user"),
        ("n,a=a=2Cb,n=a=2Cb,r=x", "a,b"),
        ("n,,n=a=3D2C,r=x", "a=2C"),
        ("n,,n=jürgen,r=x", "jürgen"),
        ("n,,n=a b,r=x,z=extension", "a b"),
    ] {
        assert_eq!(username(message).as_deref(), Ok(name), "{message}");
    }
    for (message, error) in [
        ("p=tls-exporter,,n=user,r=x", ScramError::ChannelBinding),
        ("n,,m=ext,n=user,r=x", ScramError::Extension),
        ("n,a=root,n=user,r=x", ScramError::OtherIdentity),
        ("n,b=user,n=user,r=x", ScramError::Malformed),
        ("", ScramError::Malformed),
        ("n", ScramError::Malformed),
        ("n,,", ScramError::Malformed),
        ("N,,n=user,r=x", ScramError::Malformed),
        ("n,,n=,r=x", ScramError::Malformed),
        ("n,,n=a=2c,r=x", ScramError::Malformed),
        ("n,,n=a=,r=x", ScramError::Malformed),
        ("n,,n=a=b,r=x", ScramError::Malformed),
        ("n,,n=user", ScramError::Malformed),
        ("n,,n=user,r=", ScramError::Malformed),
        ("n,,n=user,r=a b", ScramError::Malformed),
        ("n,,n=user,r=ä", ScramError::Malformed),
        ("n,,r=x,n=user", ScramError::Malformed),
        ("n,,n=user,r=x,", ScramError::Malformed),
        ("n,,n=user,r=x,1=y", ScramError::Malformed),
        ("n,,n=us\0er,r=x", ScramError::Malformed),
    ] {
        assert_eq!(username(message), Err(error), "{message:?}");
    }
    assert_eq!(ClientFirst::parse(b"n,,n=us\xFFer,r=x"), Err(ScramError::Malformed));
    let long = format!("n,,n={},r=x", "u".repeat(MESSAGE_BYTES_MAX));
    assert_eq!(username(&long), Err(ScramError::TooLong));
}

#[test]
fn the_header_is_part_of_what_is_bound() {
    // "y,," was said first, "n,," is claimed at the end.
    let (challenge, _) = challenge(&CLIENT_FIRST.replacen('n', "y", 1), true);
    assert_eq!(challenge.conclude(CLIENT_FINAL.as_bytes()), Err(ScramError::OtherExchange));
}

#[test]
fn an_unknown_users_salt_is_stable_and_its_own() {
    let like = Likeness { iterations: 4096, salt_bytes: 16 };
    let salt = |secret: u8, name: &str| Verifier::unmatched(&[secret; 32], name, like).salt;
    assert_eq!(salt(1, "a"), salt(1, "a"));
    assert_eq!(salt(1, "a").len(), 16);
    assert_ne!(salt(1, "a"), salt(1, "b"));
    assert_ne!(salt(1, "a"), salt(2, "a"));
    assert_eq!(Verifier::unmatched(&[1; 32], "a", Likeness { salt_bytes: 99, ..like }).salt.len(), 32);
}

/// The examples of RFC 4013 §3.
#[test]
fn passwords_are_prepared() {
    for (password, prepared) in
        [("I\u{AD}X", "IX"), ("user", "user"), ("USER", "USER"), ("\u{AA}", "a"), ("\u{2168}", "IX")]
    {
        assert_eq!(&*prepare(password.as_bytes()), prepared.as_bytes(), "{password:?}");
    }
    // Forbidden, mixed in direction, nothing left, no UTF-8: as it is.
    for password in ["\u{7}", "\u{627}1", "\u{AD}"] {
        assert_eq!(&*prepare(password.as_bytes()), password.as_bytes(), "{password:?}");
    }
    assert_eq!(&*prepare(b"\xFF"), b"\xFF");
}

#[test]
fn debug_shows_no_secret() {
    let (challenge, _) = challenge(CLIENT_FIRST, true);
    let shown = format!("{:?} {challenge:?}", pencil());
    assert!(shown.contains("user") && !shown.contains("keys") && !shown.contains("salt"), "{shown}");
}

fn attribute() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("n".to_owned()),
        Just("y".to_owned()),
        Just(String::new()),
        Just("n=user".to_owned()),
        Just("c=biws".to_owned()),
        Just(format!("r=x{NONCE}")),
        "[a-z]=[a-zA-Z0-9+/=]{0,50}",
        ".{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_message_panics(first in any::<Vec<u8>>(), last in any::<Vec<u8>>()) {
        let _ = ClientFirst::parse(&first);
        let _ = cheap_challenge().conclude(&last);
    }

    #[test]
    fn no_message_made_of_attributes_panics(parts in prop::collection::vec(attribute(), 0..8)) {
        let message = parts.join(",");
        if let Ok(first) = ClientFirst::parse(message.as_bytes()) {
            let (challenge, server_first) = first.challenge(&pencil_like(), true, NONCE);
            prop_assert!(server_first.starts_with("r="));
            let _ = challenge.conclude(message.as_bytes());
        }
        prop_assert!(cheap_challenge().conclude(message.as_bytes()).is_err());
    }

    #[test]
    fn every_name_survives_its_spelling(name in "[^\0]{1,40}") {
        let written = name.replace('=', "=3D").replace(',', "=2C");
        let first = ClientFirst::parse(format!("n,,n={written},r=x").as_bytes()).unwrap();
        prop_assert_eq!(first.username(), name);
    }
}

/// A verifier that costs no iterations to make.
fn pencil_like() -> Verifier {
    Verifier::unmatched(&[0; 32], "user", Likeness { iterations: 4096, salt_bytes: 16 })
}

fn cheap_challenge() -> Challenge {
    ClientFirst::parse(b"n,,n=user,r=x").unwrap().challenge(&pencil_like(), true, NONCE).0
}
