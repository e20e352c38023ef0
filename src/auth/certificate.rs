//! A client certificate that the TLS handshake has verified, as names: who it says that its client is.
//!
//! Pure. Whether a certificate is worth anything (its signature, its authority, its time, its revocation) was found out before; what comes
//! in here may still hold whatever an authority was talked into signing.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::Oid;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

use super::principal::{ANONYMOUS, Principal};

/// The names in a verified certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// As RFC 4514 writes it: `CN=device-7,O=Example`.
    pub subject: Box<str>,
    pub issuer: Box<str>,
    /// In hexadecimal digits.
    pub serial: Box<str>,
    /// SHA-256 of the whole certificate, in hexadecimal digits.
    pub fingerprint: Box<str>,
    /// The last second in which it is valid, since 1970.
    pub not_after_s: u64,
    pub subject_cn: Vec<Box<str>>,
    pub subject_o: Vec<Box<str>>,
    pub subject_ou: Vec<Box<str>>,
    pub san_dns: Vec<Box<str>>,
    pub san_email: Vec<Box<str>>,
    pub san_uri: Vec<Box<str>>,
    pub san_ip: Vec<IpAddr>,
}

/// Which name of a certificate is the username.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateName {
    SubjectCn,
    Subject,
    SanDns,
    SanEmail,
    SanUri,
    Fingerprint,
}

/// Why a certificate is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it cannot be read")]
    Unreadable,
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("it has more than one {0}")]
    Ambiguous(&'static str),
    #[error("its {0} is the name of those who are nobody")]
    Anonymous(&'static str),
    #[error("its {0} holds a control character")]
    Control(&'static str),
    #[error("CONNECT has a user name that is not its {0}")]
    Username(&'static str),
}

impl CertificateName {
    pub const ALL: [Self; 6] =
        [Self::SubjectCn, Self::Subject, Self::SanDns, Self::SanEmail, Self::SanUri, Self::Fingerprint];

    /// As the configuration and the policy's claims call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SubjectCn => "subject_cn",
            Self::Subject => "subject",
            Self::SanDns => "san_dns",
            Self::SanEmail => "san_email",
            Self::SanUri => "san_uri",
            Self::Fingerprint => "fingerprint",
        }
    }
}

impl ClientCertificate {
    /// Reads the DER of a certificate.
    ///
    /// # Errors
    /// It is none, or its extensions contradict each other.
    pub fn parse(der: &[u8]) -> Result<Self, Unusable> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Unusable::Unreadable)?;
        let alternative = certificate.subject_alternative_name().map_err(|_| Unusable::Unreadable)?;
        if !rest.is_empty() {
            return Err(Unusable::Unreadable);
        }
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        let mut parsed = Self {
            subject: Rfc4514(subject).to_string().into(),
            issuer: Rfc4514(issuer).to_string().into(),
            serial: hex(certificate.raw_serial()),
            fingerprint: hex(&Sha256::digest(der)),
            not_after_s: u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0),
            subject_cn: texts(subject, COMMON_NAME),
            subject_o: texts(subject, ORGANIZATION),
            subject_ou: texts(subject, ORGANIZATIONAL_UNIT),
            san_dns: Vec::new(),
            san_email: Vec::new(),
            san_uri: Vec::new(),
            san_ip: Vec::new(),
        };
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            parsed.add(name);
        }
        Ok(parsed)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.san_dns.push((*name).into()),
            GeneralName::RFC822Name(name) => self.san_email.push((*name).into()),
            GeneralName::URI(name) => self.san_uri.push((*name).into()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                self.san_ip.extend(v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }

    /// The name that `name` means. Of several alternative names it is the first; several common names are nobody's, as who reads another
    /// one of them means somebody else.
    ///
    /// # Errors
    /// It has no such name, or one that nobody may have.
    pub fn username(&self, name: CertificateName) -> Result<&str, Unusable> {
        let what = name.name();
        let found = match name {
            CertificateName::SubjectCn if self.subject_cn.len() > 1 => return Err(Unusable::Ambiguous(what)),
            CertificateName::SubjectCn => self.subject_cn.first(),
            CertificateName::Subject => Some(&self.subject),
            CertificateName::SanDns => self.san_dns.first(),
            CertificateName::SanEmail => self.san_email.first(),
            CertificateName::SanUri => self.san_uri.first(),
            CertificateName::Fingerprint => Some(&self.fingerprint),
        };
        match found {
            None => Err(Unusable::Missing(what)),
            Some(username) if username.is_empty() => Err(Unusable::Missing(what)),
            Some(username) if **username == *ANONYMOUS => Err(Unusable::Anonymous(what)),
            Some(username) if username.chars().any(char::is_control) => Err(Unusable::Control(what)),
            Some(username) => Ok(username),
        }
    }

    /// Whose certificate it is; `said` is the user name of a CONNECT without a password, which may be left out or empty but not be another's.
    ///
    /// `since_epoch` and `now` are the same moment.
    ///
    /// # Errors
    /// It is nobody's.
    pub fn principal(
        &self,
        name: CertificateName,
        said: Option<&str>,
        since_epoch: Duration,
        now: Instant,
    ) -> Result<Principal, Unusable> {
        let username = self.username(name)?;
        if said.is_some_and(|said| !said.is_empty() && said != username) {
            return Err(Unusable::Username(name.name()));
        }
        let (claims, claim_lists) = self.claims();
        let left = Duration::from_secs(self.not_after_s).saturating_sub(since_epoch);
        // A point in time that the system cannot name is never reached.
        Ok(Principal { claims, claim_lists, expires_at: now.checked_add(left), ..Principal::user(username) })
    }

    /// What the policy may ask for: one name as a text, several of a kind as a list.
    fn claims(&self) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
        let owned = |names: &[Box<str>]| names.iter().map(|name| String::from(&**name)).collect::<Vec<_>>();
        let one = |name: &str| vec![name.to_owned()];
        let (mut claims, mut lists) = (BTreeMap::new(), BTreeMap::new());
        for (name, mut values) in [
            ("subject", one(&self.subject)),
            ("subject_cn", owned(&self.subject_cn)),
            ("subject_o", owned(&self.subject_o)),
            ("subject_ou", owned(&self.subject_ou)),
            ("issuer", one(&self.issuer)),
            ("serial", one(&self.serial)),
            ("fingerprint", one(&self.fingerprint)),
            ("san_dns", owned(&self.san_dns)),
            ("san_email", owned(&self.san_email)),
            ("san_uri", owned(&self.san_uri)),
            ("san_ip", self.san_ip.iter().map(IpAddr::to_string).collect()),
        ] {
            match values.len() {
                0 => {}
                1 => claims.extend(values.pop().map(|value| (name.to_owned(), value))),
                _ => drop(lists.insert(name.to_owned(), values)),
            }
        }
        (claims, lists)
    }
}

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
const ORGANIZATIONAL_UNIT: &[u64] = &[2, 5, 4, 11];

/// The attribute types that have a short name (RFC 4514 §3).
const SHORT_NAMES: [(&[u64], &str); 9] = [
    (COMMON_NAME, "CN"),
    (&[2, 5, 4, 7], "L"),
    (&[2, 5, 4, 8], "ST"),
    (ORGANIZATION, "O"),
    (ORGANIZATIONAL_UNIT, "OU"),
    (&[2, 5, 4, 6], "C"),
    (&[2, 5, 4, 9], "STREET"),
    (&[0, 9, 2342, 19200300, 100, 1, 25], "DC"),
    (&[0, 9, 2342, 19200300, 100, 1, 1], "UID"),
];

fn is_oid(oid: &Oid<'_>, numbers: &[u64]) -> bool {
    oid.iter().is_some_and(|found| found.eq(numbers.iter().copied()))
}

/// The values of the attributes of this type that are text.
fn texts(name: &X509Name<'_>, oid: &[u64]) -> Vec<Box<str>> {
    let of_type = name.iter_attributes().filter(|attribute| is_oid(attribute.attr_type(), oid));
    of_type.filter_map(|attribute| attribute.as_str().ok().map(Into::into)).collect()
}

fn hex(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}

/// A name as RFC 4514 writes it: the last part first, and nothing in a value can be taken for a further part.
struct Rfc4514<'a>(&'a X509Name<'a>);

impl fmt::Display for Rfc4514<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter_rdn().collect();
        for (index, part) in parts.into_iter().rev().enumerate() {
            for (within, attribute) in part.iter().enumerate() {
                match (index, within) {
                    (0, 0) => {}
                    (_, 0) => f.write_char(',')?,
                    _ => f.write_char('+')?,
                }
                let oid = attribute.attr_type();
                let short = SHORT_NAMES.iter().find(|(numbers, _)| is_oid(oid, numbers));
                match (short, attribute.as_str()) {
                    (Some((_, short)), Ok(text)) => {
                        write!(f, "{short}=")?;
                        write_escaped(f, text)?;
                    }
                    // §2.4: what has no short name is written as it is encoded; here without the outermost tag and length.
                    _ => write!(f, "{}=#{}", oid.to_id_string(), hex(attribute.as_slice()))?,
                }
            }
        }
        Ok(())
    }
}

/// RFC 4514 §2.4.
fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let last = text.char_indices().next_back().map_or(0, |(index, _)| index);
    for (index, character) in text.char_indices() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => write!(f, "\\{character}")?,
            ' ' if index == 0 || index == last => f.write_str("\\ ")?,
            '#' if index == 0 => f.write_str("\\#")?,
            character if character.is_ascii_control() => write!(f, "\\{:02x}", u32::from(character))?,
            character => f.write_char(character)?,
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};

    use super::*;

    /// A certificate signed by its own key, as whatever handshake it came from would not matter here.
    pub(crate) fn made(change: impl FnOnce(&mut CertificateParams)) -> ClientCertificate {
        ClientCertificate::parse(&der(change)).unwrap()
    }

    fn der(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(vec![0x0A, 0xBC].into());
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn named(names: &[(DnType, &str)]) -> ClientCertificate {
        made(|params| names.iter().for_each(|(kind, name)| params.distinguished_name.push(kind.clone(), *name)))
    }

    #[test]
    fn every_name_is_read() {
        let der = der(|params| {
            params.distinguished_name.push(DnType::CountryName, "AT");
            params.distinguished_name.push(DnType::OrganizationName, "Tide, Inc");
            params.distinguished_name.push(DnType::OrganizationalUnitName, "ops");
            params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String("gerät 7".to_owned()));
            params.subject_alt_names = vec![
                SanType::DnsName("a.example".try_into().unwrap()),
                SanType::DnsName("b.example".try_into().unwrap()),
                SanType::Rfc822Name("a@example.org".try_into().unwrap()),
                SanType::URI("spiffe://example/a".try_into().unwrap()),
                SanType::IpAddress("192.0.2.7".parse().unwrap()),
                SanType::IpAddress("2001:db8::7".parse().unwrap()),
            ];
        });
        let certificate = ClientCertificate::parse(&der).unwrap();
        assert_eq!(&*certificate.subject, r"CN=gerät 7,OU=ops,O=Tide\, Inc,C=AT");
        assert_eq!(certificate.issuer, certificate.subject);
        assert_eq!((&*certificate.serial, certificate.not_after_s), ("0abc", 1_893_456_000));
        assert_eq!(*certificate.fingerprint, *hex(&Sha256::digest(&der)));
        for (name, expected) in [
            (CertificateName::SubjectCn, "gerät 7"),
            (CertificateName::Subject, &certificate.subject),
            (CertificateName::SanDns, "a.example"),
            (CertificateName::SanEmail, "a@example.org"),
            (CertificateName::SanUri, "spiffe://example/a"),
            (CertificateName::Fingerprint, &certificate.fingerprint),
        ] {
            assert_eq!(certificate.username(name), Ok(expected));
        }
        let principal =
            certificate.principal(CertificateName::SubjectCn, None, Duration::ZERO, Instant::now()).unwrap();
        assert_eq!(&*principal.username, "gerät 7");
        let claim = |name: &str| principal.claims.get(name).map(String::as_str);
        assert_eq!(claim("subject_ou"), Some("ops"));
        assert_eq!(claim("san_email"), Some("a@example.org"));
        assert_eq!(claim("serial"), Some("0abc"));
        assert_eq!(principal.claim_lists["san_dns"], ["a.example", "b.example"]);
        assert_eq!(principal.claim_lists["san_ip"], ["192.0.2.7", "2001:db8::7"]);
    }

    #[test]
    fn what_names_nobody_is_refused() {
        const CN: CertificateName = CertificateName::SubjectCn;
        let cn = |name: &str| named(&[(DnType::CommonName, name)]).username(CN).map(str::to_owned);
        assert_eq!(cn(""), Err(Unusable::Missing("subject_cn")));
        assert_eq!(cn("anonymous"), Err(Unusable::Anonymous("subject_cn")));
        assert_eq!(cn("a\0b"), Err(Unusable::Control("subject_cn")));
        assert_eq!(cn("alice"), Ok("alice".to_owned()));
        assert_eq!(named(&[(DnType::OrganizationName, "o")]).username(CN), Err(Unusable::Missing("subject_cn")));
        assert_eq!(named(&[]).username(CertificateName::Subject), Err(Unusable::Missing("subject")));
        assert_eq!(named(&[]).username(CertificateName::SanDns), Err(Unusable::Missing("san_dns")));
        // The library that makes certificates holds each type once, so this one is put together here.
        let mut two = named(&[(DnType::CommonName, "alice")]);
        two.subject_cn.push("root".into());
        assert_eq!(two.username(CN), Err(Unusable::Ambiguous("subject_cn")));
    }

    #[test]
    fn a_user_name_beside_it_is_its_own_or_none() {
        let alice = named(&[(DnType::CommonName, "alice")]);
        let said = |said| {
            let principal = alice.principal(CertificateName::SubjectCn, said, Duration::ZERO, Instant::now());
            principal.map(|principal| principal.username.to_string())
        };
        for same in [None, Some(""), Some("alice")] {
            assert_eq!(said(same), Ok("alice".to_owned()));
        }
        assert_eq!(said(Some("bob")), Err(Unusable::Username("subject_cn")));
    }

    #[test]
    fn it_proves_as_long_as_it_is_valid() {
        let alice = named(&[(DnType::CommonName, "alice")]);
        let now = Instant::now();
        let expires_at = |since_epoch: u64| {
            let since_epoch = Duration::from_secs(since_epoch);
            alice.principal(CertificateName::SubjectCn, None, since_epoch, now).unwrap().expires_at
        };
        assert_eq!(expires_at(alice.not_after_s - 60), Some(now + Duration::from_secs(60)));
        assert_eq!(expires_at(alice.not_after_s + 60), Some(now));
    }

    #[test]
    fn no_value_can_be_taken_for_another_part_of_a_name() {
        let subject = |name: &str| named(&[(DnType::OrganizationName, "x"), (DnType::CommonName, name)]).subject;
        assert_eq!(&*subject("a,O=root"), r"CN=a\,O\=root,O=x");
        assert_eq!(&*subject(" #\\+\"; "), r#"CN=\ #\\\+\"\;\ ,O=x"#);
        assert_eq!(&*subject("#a\n"), r"CN=\#a\0a,O=x");
        let other = DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]);
        assert_eq!(&*named(&[(other, "a@b")]).subject, "1.2.840.113549.1.9.1=#614062");
    }

    #[test]
    fn what_is_no_certificate_is_nobodys() {
        let whole = der(|_| {});
        assert!(ClientCertificate::parse(&whole).is_ok());
        for length in 0..whole.len() {
            assert_eq!(ClientCertificate::parse(&whole[..length]), Err(Unusable::Unreadable), "{length}");
        }
        assert_eq!(ClientCertificate::parse(&[whole, vec![0]].concat()), Err(Unusable::Unreadable));
    }
}
