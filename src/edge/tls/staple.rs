//! An OCSP response (RFC 6960 §4.2.1), as far as a server has to read what it passes on.
//!
//! Whether it is signed by whom it should be is for the client to verify.

use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};
use x509_parser::time::ASN1Time;

/// What a response says of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Staple {
    /// Of the certificate, as it is encoded there.
    pub(super) serial: Vec<u8>,
    pub(super) is_good: bool,
    /// Since 1970; when there will be a newer response. Without it there always may be one.
    pub(super) next_update_s: Option<u64>,
}

impl Staple {
    /// Reads the first answer in a DER response.
    pub(super) fn parse(der: &[u8]) -> Result<Self, &'static str> {
        const NONE: &str = "no OCSP response in DER";
        let mut response = Reader::within(der, Tag::Sequence).ok_or(NONE)?;
        let status = response.take(Tag::Enumerated).ok_or(NONE)?;
        if *status != [0] {
            return Err("an OCSP response that says nothing, as the responder could not answer");
        }
        Self::answer(response).ok_or(NONE)
    }

    fn answer(mut response: Reader<'_>) -> Option<Self> {
        let mut typed = Reader(response.take_context(0)?).enter()?;
        typed.take(Tag::Oid)?;
        let mut basic = Reader(typed.take(Tag::OctetString)?).enter()?;
        let mut data = basic.enter()?;
        // The version, which is 1 where it is left out; then who answers.
        let _ = data.take_context(0);
        data.skip()?;
        data.take(Tag::GeneralizedTime)?;
        let mut single = data.enter()?.enter()?;
        let mut certificate_id = single.enter()?;
        (certificate_id.skip()?, certificate_id.skip()?, certificate_id.skip()?);
        let serial = certificate_id.take(Tag::Integer)?.to_vec();
        let is_good = single.take_context(0).is_some();
        if !is_good {
            single.skip()?;
        }
        single.take(Tag::GeneralizedTime)?;
        let next_update_s = match single.take_context(0) {
            None => None,
            Some(next) => Some(u64::try_from(ASN1Time::from_der(next).ok()?.1.timestamp()).ok()?),
        };
        Some(Self { serial, is_good, next_update_s })
    }
}

/// The elements that are left of a DER value.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// What is in the one element of `der`.
    fn within(der: &'a [u8], tag: Tag) -> Option<Self> {
        let mut outer = Self(der);
        let inner = outer.take(tag)?;
        outer.0.is_empty().then_some(Self(inner))
    }

    fn next(&mut self, is_wanted: impl Fn(Class, Tag) -> bool) -> Option<&'a [u8]> {
        let (rest, element) = Any::from_der(self.0).ok()?;
        if !is_wanted(element.class(), element.tag()) {
            return None;
        }
        self.0 = rest;
        Some(element.data)
    }

    fn take(&mut self, tag: Tag) -> Option<&'a [u8]> {
        self.next(|class, found| class == Class::Universal && found == tag)
    }

    /// The content of the element `[number]`; nothing is taken if it is another one.
    fn take_context(&mut self, number: u32) -> Option<&'a [u8]> {
        self.next(|class, found| class == Class::ContextSpecific && found == Tag(number))
    }

    fn enter(&mut self) -> Option<Self> {
        self.take(Tag::Sequence).map(Self)
    }

    fn skip(&mut self) -> Option<()> {
        self.next(|_, _| true).map(drop)
    }
}
