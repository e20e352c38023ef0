//! Networks of IP addresses, as operators write them: `10.0.0.0/8`, `2001:db8::/32`, or a lone address.
//!
//! Pure. Invariant: an IPv4 address is the same one whether it comes as IPv4 or mapped into IPv6 (RFC 4291 §2.5.5.2), on either side.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One network, by its address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Never IPv4 mapped into IPv6; no bit set behind the prefix.
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNetwork {
    #[error("not an IP address, with or without a prefix length")]
    Form,
    /// A slip of the hand more often than not, so that it is better asked than guessed.
    #[error("bits set behind the prefix; {0} is the network around it")]
    HostBits(Network),
}

impl Network {
    /// Every loopback address, of IPv4 and of IPv6.
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    /// Reads an address and, behind a slash, how many of its leading bits count; all of them where it says nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NotNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| NotNetwork::Form)?;
        let prefix = match prefix {
            None => bits(written),
            Some(prefix) if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(NotNetwork::Form);
            }
            Some(prefix) => prefix.parse().map_err(|_| NotNetwork::Form)?,
        };
        if prefix > bits(written) {
            return Err(NotNetwork::Form);
        }
        let (address, prefix) = match (written.to_canonical(), written) {
            // A prefix within the mapping itself spans more than IPv4, and so is meant for IPv6.
            (IpAddr::V4(mapped), IpAddr::V6(_)) if prefix >= MAPPED_BITS => (IpAddr::V4(mapped), prefix - MAPPED_BITS),
            _ => (written, prefix),
        };
        let network = Self { address: masked(address, prefix), prefix };
        if network.address == address { Ok(network) } else { Err(NotNetwork::HostBits(network)) }
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whether `address` is in one of `networks`.
#[must_use]
pub fn any_contains(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// What stands before an IPv4 address that is mapped into IPv6.
const MAPPED_BITS: u8 = 96;

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        Network::parse(network).expect(network).contains(address.parse().expect(address))
    }

    #[test]
    fn a_network_holds_what_shares_its_prefix() {
        let cases = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("192.0.2.128/25", "192.0.2.255", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::1", "::1", true),
        ];
        for (network, address, expected) in cases {
            assert_eq!(contains(network, address), expected, "{network} {address}");
        }
    }

    #[test]
    fn an_ipv4_address_mapped_into_ipv6_is_that_address() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(contains("::ffff:10.1.2.3", "10.1.2.3"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.1.2.3"));
    }

    #[test]
    fn what_is_no_network_says_why() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "a/8", "10.0.0.0/8/8", " ::1"]
        {
            assert_eq!(Network::parse(text), Err(NotNetwork::Form), "{text:?}");
        }
        let error = Network::parse("10.1.2.3/8").unwrap_err().to_string();
        assert_eq!(error, "bits set behind the prefix; 10.0.0.0/8 is the network around it");
    }

    proptest::proptest! {
        /// Written out and read again it is the same, and it holds its own address.
        #[test]
        fn a_network_is_read_as_it_is_written(bits: u128, is_v4: bool, prefix in 0_u8..=128) {
            let address = if is_v4 { IpAddr::V4(Ipv4Addr::from_bits(bits as u32)) } else { IpAddr::V6(bits.into()) };
            let prefix = if is_v4 { prefix % 33 } else { prefix };
            let text = format!("{}/{prefix}", masked(address, prefix));
            let network = Network::parse(&text).expect("a network");
            proptest::prop_assert_eq!(Network::parse(&network.to_string()), Ok(network));
            // A prefix that spans the mapping and more holds IPv6 addresses, and none of those that are IPv4 in truth.
            if address.to_canonical() == address {
                proptest::prop_assert!(network.contains(address));
            }
        }
    }
}
