//! `inet` and `cidr`, written as the server writes them.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Misfit;

/// Family, bits, whether it is a `cidr`, length, address.
pub fn inet(value: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let bad = Misfit::Malformed("not a network address");
    let [_, bits, is_cidr, length, address @ ..] = value else {
        return Err(bad);
    };
    if usize::from(*length) != address.len() {
        return Err(bad);
    }
    let width = match address.len() {
        4 => {
            let address: [u8; 4] = address.try_into().map_err(|_| bad)?;
            write(out, format_args!("{}", Ipv4Addr::from(address)))?;
            32
        }
        16 => {
            let address: [u8; 16] = address.try_into().map_err(|_| bad)?;
            write_v6(out, address.into())?;
            128
        }
        _ => return Err(bad),
    };
    if *is_cidr != 0 || *bits != width {
        write(out, format_args!("/{bits}"))?;
    }
    Ok(())
}

/// The server writes the last 32 bits of a compatible address with dots.
fn write_v6(out: &mut Vec<u8>, address: Ipv6Addr) -> Result<(), Misfit> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
            let tail = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
            write(out, format_args!("::{tail}"))
        }
        _ => write(out, format_args!("{address}")),
    }
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) -> Result<(), Misfit> {
    out.write_fmt(text)
        .map_err(|_| Misfit::Malformed("not writable"))
}
