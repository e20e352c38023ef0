use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};
use rustls::SignatureScheme;

use super::pairs::{Certificates, load_all};
use super::staple::Staple;
use super::*;
use crate::edge::config::CertificateFiles;

/// 2025-01-01.
const NEW_YEAR_S: u64 = 1_735_689_600;
const DAY_S: u64 = 86_400;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Valid in 2025, serial number 0x0ABC.
fn write_pair(
    directory: &Path,
    name: &str,
    names: &[&str],
    algorithm: &'static SignatureAlgorithm,
) -> CertificateFiles {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2025, 12, 31);
    params.serial_number = Some(vec![0x0A, 0xBC].into());
    let key = KeyPair::generate_for(algorithm).unwrap();
    let files = CertificateFiles {
        certificate: directory.join(format!("{name}.pem")),
        key: directory.join(format!("{name}.key")),
        ocsp: None,
    };
    std::fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

fn ecdsa(directory: &Path, name: &str, names: &[&str]) -> CertificateFiles {
    write_pair(directory, name, names, &PKCS_ECDSA_P256_SHA256)
}

/// The keys at fault and what was found, of files read in spring 2025.
fn faults_of(files: &[CertificateFiles]) -> Vec<(String, String)> {
    let faults = load_all(files, "tls", at(NEW_YEAR_S + 100 * DAY_S), &mut Vec::new()).err().unwrap_or_default();
    faults.into_iter().map(|fault| (fault.key, fault.found)).collect()
}

#[test]
fn the_name_chooses_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        ecdsa(directory.path(), "one", &["one.example", "shared.example"]),
        ecdsa(directory.path(), "two", &["*.two.example", "shared.example"]),
    ];
    let pairs = load_all(&files, "tls", at(NEW_YEAR_S), &mut Vec::new()).unwrap();
    let certificates = Certificates::new(pairs.clone());
    let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
    let is_first = |name| certificates.find(name, &schemes).map(|pair| Arc::ptr_eq(pair, &pairs[0]));
    for (name, expected) in [
        (Some("one.example"), true),
        (Some("ONE.example"), true),
        (Some("shared.example"), true),
        (Some("a.two.example"), false),
        (Some("A.TWO.example"), false),
        // A wildcard stands for one label; who asks for what nobody has gets the first.
        (Some("b.a.two.example"), true),
        (Some("two.example"), true),
        (Some("elsewhere.example"), true),
        (None, true),
    ] {
        assert_eq!(is_first(name), Some(expected), "{name:?}");
    }
}

#[test]
fn a_client_gets_a_kind_of_key_that_it_knows() {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        write_pair(directory.path(), "ed25519", &["one.example"], &PKCS_ED25519),
        ecdsa(directory.path(), "ecdsa", &["one.example"]),
    ];
    let pairs = load_all(&files, "tls", at(NEW_YEAR_S), &mut Vec::new()).unwrap();
    let certificates = Certificates::new(pairs.clone());
    for (schemes, expected) in [
        (&[SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519][..], 0),
        (&[SignatureScheme::ECDSA_NISTP256_SHA256], 1),
        (&[SignatureScheme::RSA_PSS_SHA256], 0),
    ] {
        let found = certificates.find(Some("one.example"), schemes).unwrap();
        assert!(Arc::ptr_eq(found, &pairs[expected]), "{schemes:?}");
    }
}

#[test]
fn all_faults_of_all_files_come_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let one = ecdsa(directory.path(), "one", &["one.example"]);
    let two = ecdsa(directory.path(), "two", &["two.example"]);
    let crossed = CertificateFiles { key: two.key.clone(), ..one.clone() };
    let swapped = CertificateFiles { certificate: two.key.clone(), key: two.certificate.clone(), ocsp: None };
    let missing = CertificateFiles { certificate: "/no/such.pem".into(), key: "/no/such.key".into(), ocsp: None };
    let unnamed = ecdsa(directory.path(), "unnamed", &[]);
    let unstapled = CertificateFiles { ocsp: Some(one.key.clone()), ..one.clone() };
    let found = faults_of(&[one, crossed, swapped, missing, unnamed, unstapled]);
    let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
    let expected = [
        "tls.cert[1].key",
        "tls.cert[2].cert",
        "tls.cert[2].key",
        "tls.cert[3].cert",
        "tls.cert[3].key",
        "tls.cert[4].cert",
        "tls.cert[5].ocsp",
    ];
    assert_eq!(keys, expected);
    assert!(found[0].1.starts_with("not the key of"), "{found:?}");
    assert_eq!(found[5].1, "covers no name");
    assert_eq!(found[6].1, "no OCSP response in DER");
    assert!(load_all(&[], "tls", at(NEW_YEAR_S), &mut Vec::new()).is_err());
}

#[test]
fn what_is_not_valid_now_is_at_fault() {
    let directory = tempfile::tempdir().unwrap();
    let files = [ecdsa(directory.path(), "one", &["one.example"])];
    let found = |seconds| {
        let loaded = load_all(&files, "tls", at(seconds), &mut Vec::new());
        loaded.map_err(|faults| faults.into_iter().map(|fault| (fault.key, fault.found)).collect::<Vec<_>>())
    };
    let at_fault = |words: &str| Some(vec![("tls.cert".to_owned(), words.to_owned())]);
    assert_eq!(found(NEW_YEAR_S - 3 * DAY_S).err(), at_fault("is not valid yet, for 3 days"));
    assert_eq!(found(NEW_YEAR_S + 400 * DAY_S).err(), at_fault("has expired, 36 days ago"));
    let certificates = Certificates::new(found(NEW_YEAR_S).unwrap());
    assert_eq!(certificates.not_after_s(), Some(NEW_YEAR_S + 364 * DAY_S));
}

/// One DER element.
fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = u8::try_from(content.len()).unwrap();
    let head = if length < 128 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [head, content].concat()
}

/// An OCSP response about `serial`, unsigned, as the server looks at no signature.
fn response(serial: &[u8], status: &[u8], next_update: Option<&[u8]>) -> Vec<u8> {
    let algorithm = der(0x30, &[&der(0x06, &[&[0x2B, 14, 3, 2, 26]])]);
    let hash = der(0x04, &[&[7; 20]]);
    let certificate_id = der(0x30, &[&algorithm, &hash, &hash, &der(0x02, &[serial])]);
    let time = der(0x18, &[b"20250401000000Z"]);
    let next = next_update.map(|next| der(0xA0, &[&der(0x18, &[next])])).unwrap_or_default();
    let single = der(0x30, &[&certificate_id, status, &time, &next]);
    let responder = der(0xA2, &[&hash]);
    let data = der(0x30, &[&responder, &time, &der(0x30, &[&single])]);
    let basic = der(0x30, &[&data, &algorithm, &der(0x03, &[&[0, 1]])]);
    let typed = der(0x30, &[&der(0x06, &[&[0x2B, 6, 1, 5, 5, 7, 48, 1, 1]]), &der(0x04, &[&basic])]);
    der(0x30, &[&der(0x0A, &[&[0]]), &der(0xA0, &[&typed])])
}

const GOOD: &[u8] = &[0x80, 0];

#[test]
fn a_staple_is_read_as_far_as_it_goes() {
    let whole = response(&[0x0A, 0xBC], GOOD, Some(b"20250501000000Z"));
    let staple = Staple::parse(&whole).unwrap();
    assert_eq!(staple.serial, [0x0A, 0xBC]);
    assert!(staple.is_good);
    assert_eq!(staple.next_update_s, Some(NEW_YEAR_S + 120 * DAY_S));
    let revoked = der(0xA1, &[&der(0x18, &[b"20250301000000Z"])]);
    let staple = Staple::parse(&response(&[1], &revoked, None)).unwrap();
    assert_eq!((staple.is_good, staple.next_update_s), (false, None));
    let unable = der(0x30, &[&der(0x0A, &[&[3]])]);
    assert!(Staple::parse(&unable).unwrap_err().contains("could not answer"));
    for length in 0..whole.len() {
        assert!(Staple::parse(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_staple_is_shown_while_it_is_fresh_and_must_be_of_this_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one.ocsp");
    let files = [CertificateFiles { ocsp: Some(path.clone()), ..ecdsa(directory.path(), "one", &["one.example"]) }];
    let spring = NEW_YEAR_S + 100 * DAY_S;

    std::fs::write(&path, response(&[0x0A, 0xBC], GOOD, Some(b"20250501000000Z"))).unwrap();
    let mut warnings = Vec::new();
    let pairs = load_all(&files, "tls", at(spring), &mut warnings).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let is_stapled = |seconds| pairs[0].shown(at(seconds)).ocsp.is_some();
    assert!(is_stapled(spring) && !is_stapled(NEW_YEAR_S + 121 * DAY_S));

    std::fs::write(&path, response(&[0x0A, 0xBC], GOOD, Some(b"20250402000000Z"))).unwrap();
    let pairs = load_all(&files, "tls", at(spring), &mut warnings).unwrap();
    assert!(pairs[0].shown(at(spring)).ocsp.is_none());
    assert_eq!(warnings[0].found, "should have been replaced 9 days ago, and is not sent");

    let revoked = der(0xA1, &[&der(0x18, &[b"20250301000000Z"])]);
    for (content, expected) in [
        (response(&[0x0A, 0xBD], GOOD, None), "is about another certificate"),
        (response(&[0x0A, 0xBC], &revoked, None), "says that the certificate is not good"),
    ] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(faults_of(&files), [("tls.ocsp".to_owned(), expected.to_owned())]);
    }
}

#[test]
fn hybrid_key_exchange_comes_first() {
    assert_eq!(provider(&KeyExchange::DEFAULT).kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    for group in KeyExchange::ALL {
        assert!(format!("{:?}", kx_group(group).name()).eq_ignore_ascii_case(group.name()), "{group:?}");
    }
}
