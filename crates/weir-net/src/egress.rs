//! Where connectors may go: rules over addresses, never over names, because a
//! name can answer differently a moment later.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use weir_core::{Error, Kind, Result};

/// A block of addresses, for example `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Self {
        Network {
            first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            bits,
        }
    }

    const fn v6(segments: [u16; 8], bits: u8) -> Self {
        let [a, b, c, d, e, f, g, h] = segments;
        Network {
            first: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)),
            bits,
        }
    }

    /// Parses `10.0.0.0/8`, `::1` and the like; an address alone is a block of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().ok()?;
        let width = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Network { first, bits })
    }

    /// Whether the block holds `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (first.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                (first.to_bits() ^ address.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

/// What no setting can open, and what it is.
const NEVER: [(Network, &str); 14] = [
    (Network::v4(0, 0, 0, 0, 8), "an unspecified address"),
    (
        Network::v4(169, 254, 0, 0, 16),
        "a link-local or cloud metadata address",
    ),
    (
        Network::v4(100, 100, 100, 200, 32),
        "a cloud metadata address",
    ),
    (
        Network::v4(168, 63, 129, 16, 32),
        "a cloud metadata address",
    ),
    (Network::v4(192, 0, 0, 192, 32), "a cloud metadata address"),
    (Network::v4(224, 0, 0, 0, 4), "a multicast address"),
    (Network::v4(240, 0, 0, 0, 4), "a reserved address"),
    (
        Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
        "an unspecified address",
    ),
    (
        Network::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
        "a link-local address",
    ),
    (
        Network::v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
        "a site-local address",
    ),
    (
        Network::v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
        "a cloud metadata address",
    ),
    (
        Network::v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
        "a cloud metadata address",
    ),
    (
        Network::v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
        "a cloud metadata address",
    ),
    (
        Network::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
        "a multicast address",
    ),
];

/// Which addresses connectors may reach.
///
/// By default all but link-local, cloud metadata, multicast and unspecified
/// addresses: databases live on private networks, so those and loopback are
/// allowed until [`Egress::parse`] narrows them. What is never allowed cannot
/// be allowed by a list either, in whatever form the address is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    allowed: Option<Vec<Network>>,
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No setting can allow it; says what it is.
    Never(&'static str),
    /// It is outside of the allowed networks.
    NotAllowed,
}

impl Egress {
    /// Only these networks: a comma list of addresses and CIDR blocks. Empty
    /// text is the default rule.
    pub fn parse(text: &str) -> Result<Self> {
        let mut allowed = Vec::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let network = Network::parse(part).ok_or_else(|| {
                Error::new(
                    Kind::Invalid,
                    format!("egress rule `{part}` is not an address or a CIDR block"),
                )
                .hint("write a comma list such as 10.0.0.0/8, 192.168.1.20, fd12::/16")
            })?;
            allowed.push(network);
        }
        Ok(Egress {
            allowed: (!allowed.is_empty()).then_some(allowed),
        })
    }

    /// Whether `address` may be reached. Forms that carry an IPv4 address
    /// inside are judged by both.
    pub fn check(&self, address: IpAddr) -> Result<(), Denied> {
        let forms = [Some(address), embedded_v4(address).map(IpAddr::V4)];
        for form in forms.into_iter().flatten() {
            if let Some((_, what)) = NEVER.iter().find(|(network, _)| network.contains(form)) {
                return Err(Denied::Never(what));
            }
        }
        // A mapped address is the IPv4 address; a rule for one covers the other.
        let canonical = address.to_canonical();
        match &self.allowed {
            Some(allowed) if !allowed.iter().any(|network| network.contains(canonical)) => {
                Err(Denied::NotAllowed)
            }
            _ => Ok(()),
        }
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64,
/// 6to4 and Teredo.
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let s = address.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(pair(high, low)),
        // `::` and `::1` are not of the compatible form.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(pair(high, low)),
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(pair(high, low)),
        [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => Some(pair(high, low)),
        [0x2002, high, low, ..] => Some(pair(high, low)),
        [0x2001, 0, _, _, _, _, high, low] => Some(pair(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_reached_in_any_spelling() {
        let open = Egress::default();
        let list = Egress::parse("0.0.0.0/0, ::/0").unwrap();
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "2001:0:1234::5601:5601",
            "::ffff:100.100.100.200",
            "::ffff:0.0.0.0",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert!(
                matches!(open.check(address), Err(Denied::Never(_))),
                "{text}"
            );
            assert!(
                matches!(list.check(address), Err(Denied::Never(_))),
                "{text} by list"
            );
        }
    }

    #[test]
    fn private_networks_and_loopback_are_open_by_default() {
        let open = Egress::default();
        for text in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "192.168.0.9",
            "100.64.0.1",
            "fd12::1",
            "8.8.8.8",
        ] {
            assert_eq!(open.check(text.parse().unwrap()), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_list_narrows() {
        let egress = Egress::parse(" 10.0.0.0/8 ,127.0.0.1, fd12::/16").unwrap();
        for text in ["10.255.0.1", "127.0.0.1", "::ffff:10.0.0.1", "fd12:1::2"] {
            assert_eq!(egress.check(text.parse().unwrap()), Ok(()), "{text}");
        }
        for text in ["11.0.0.1", "127.0.0.2", "::1", "fd13::1", "::ffff:11.0.0.1"] {
            assert_eq!(
                egress.check(text.parse().unwrap()),
                Err(Denied::NotAllowed),
                "{text}"
            );
        }
        assert_eq!(Egress::parse("").unwrap(), Egress::default());
        for bad in [
            "10.0.0.0/33",
            "10.0.0",
            "host.example",
            "::/129",
            "10.0.0.0/x",
        ] {
            assert!(Egress::parse(bad).is_err(), "{bad}");
        }
    }
}
