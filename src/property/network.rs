//! Addresses, ports, network interfaces and sets of netfilter (`systemd.resource-control(5)`).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::field::Field;
use super::forms::{part, split, structs, unsplittable};
use super::split::{Backslash, PLAIN, QUOTED};
use super::{Property, Table, numbers};
use crate::bus::Value;
use crate::error::Result;

/// As the kernel counts them.
const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const IPPROTO_TCP: i32 = 6;
const IPPROTO_UDP: i32 = 17;

const ADDRESS: &str = "is not an IP address (expected one, with the length of a prefix or without, as 10.0.0.0/8, \
                       \"any\", \"localhost\", \"link-local\" or \"multicast\")";

/// Prefixes of IP addresses: type `a(iayu)`. A word for several of them stands alone: so systemd-run has it.
pub(super) fn addresses(field: &Field<'_>) -> Result<Vec<Property>> {
    let v4 = |address: [u8; 4], length| prefix(AF_INET, address.to_vec(), length);
    let v6 = |first: [u8; 2], last, length| {
        let mut address = vec![0; 16];
        address[..2].copy_from_slice(&first);
        address[15] = last;
        prefix(AF_INET6, address, length)
    };
    let prefixes = match field.value {
        "any" => vec![v4([0; 4], 0), v6([0; 2], 0, 0)],
        "localhost" => vec![v4([127, 0, 0, 0], 8), v6([0; 2], 1, 128)],
        "link-local" => vec![v4([169, 254, 0, 0], 16), v6([0xfe, 0x80], 0, 64)],
        "multicast" => vec![v4([224, 0, 0, 0], 4), v6([0xff, 0], 0, 8)],
        _ => {
            let words = split(field, PLAIN)?;
            words.iter().map(|word| part(field, word, address, ADDRESS)).collect::<Result<_>>()?
        }
    };
    field.set(structs("iayu", prefixes))
}

fn address(text: &str) -> Option<Vec<Value>> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(numbers::unsigned8(length)?)),
        None => (text, None),
    };
    let (family, bytes) = match address.parse::<Ipv4Addr>() {
        Ok(address) => (AF_INET, address.octets().to_vec()),
        Err(_) => (AF_INET6, address.parse::<Ipv6Addr>().ok()?.octets().to_vec()),
    };
    let longest = 8 * bytes.len() as u32;
    let length = length.map_or(longest, u32::from);
    (length <= longest).then(|| prefix(family, bytes, length))
}

fn prefix(family: i32, address: Vec<u8>, length: u32) -> Vec<Value> {
    vec![Value::I32(family), Value::Bytes(address), Value::U32(length)]
}

/// Ports that may be bound: `[ipv4:|ipv6:][tcp:|udp:]PORTS`, type `a(iiqq)` with the family, the protocol, how many ports,
/// and the first one; 0 is any.
pub(super) fn socket_bind(field: &Field<'_>) -> Result<Vec<Property>> {
    let expected = "is no rule for sockets (expected [ipv4:|ipv6:][tcp:|udp:] and a port, a range of ports as 80-90, or \
                    \"any\")";
    let splitter = PLAIN.separators(":").empty_words();
    let mut rules = Vec::new();
    if !field.value.is_empty() {
        let words = splitter.words(field.value).map_err(|unsplit| unsplittable(field, unsplit))?;
        rules.push(rule(&words).ok_or_else(|| field.refuse_part(field.value, expected))?);
    }
    field.set(structs("iiqq", rules))
}

fn rule(words: &[String]) -> Option<Vec<Value>> {
    let mut words = words.iter().map(String::as_str).peekable();
    let mut family = 0;
    let mut protocol = 0;
    if let Some(found) = words.peek().and_then(|word| {
        Some(match *word {
            "ipv4" => AF_INET,
            "ipv6" => AF_INET6,
            _ => return None,
        })
    }) {
        family = found;
        words.next();
    }
    if let Some(found) = words.peek().and_then(|word| {
        Some(match *word {
            "tcp" => IPPROTO_TCP,
            "udp" => IPPROTO_UDP,
            _ => return None,
        })
    }) {
        protocol = found;
        words.next();
    }
    let (count, first) = match words.next() {
        None | Some("any") => (0, 0),
        Some(ports) => ports_of(ports)?,
    };
    let rule = vec![Value::I32(family), Value::I32(protocol), Value::U16(count), Value::U16(first)];
    words.next().is_none().then_some(rule)
}

/// How many ports, of which 65536 are 0, and the first one.
fn ports_of(text: &str) -> Option<(u16, u16)> {
    let Some((first, last)) = text.split_once('-') else { return Some((1, numbers::unsigned16(text)?)) };
    let (first, last) = (numbers::unsigned16(first)?, numbers::unsigned16(last)?);
    Some((last.checked_sub(first)?.wrapping_add(1), first))
}

/// What systemd-run knows for services and sockets only.
pub(super) const TABLE: Table = table! {
    interfaces: "RestrictNetworkInterfaces";
};

/// Network interfaces, or after `~` all but these: type `(bas)`.
fn interfaces(field: &Field<'_>) -> Result<Vec<Property>> {
    let (are_allowed, names) = match field.value.strip_prefix('~') {
        Some(names) => (false, names),
        None => (true, field.value),
    };
    let names = QUOTED.words(names).map_err(|unsplit| unsplittable(field, unsplit))?;
    field.set(Value::Struct(vec![are_allowed.into(), names.into()]))
}

/// Where netfilter is told the IDs of the unit: `SOURCE:FAMILY:TABLE:SET`, type `a(iiss)`.
pub(super) fn netfilter_sets(field: &Field<'_>) -> Result<Vec<Property>> {
    let expected = "is no set of netfilter (expected SOURCE:FAMILY:TABLE:SET, the source being cgroup, user or group, the \
                    family arp, bridge, inet, ip, ip6 or netdev)";
    let words = split(field, QUOTED.backslash(Backslash::Stays))?;
    let sets = words.iter().map(|word| part(field, word, netfilter_set, expected)).collect::<Result<_>>()?;
    field.set(structs("iiss", sets))
}

fn netfilter_set(text: &str) -> Option<Vec<Value>> {
    let parts = PLAIN.separators(":").backslash(Backslash::Escapes).words(text).ok()?;
    let [source, family, table, set] = parts.as_slice() else { return None };
    let source = match source.as_str() {
        "cgroup" => 3,
        "user" => 4,
        "group" => 5,
        _ => return None,
    };
    let family = match family.as_str() {
        "inet" => 1,
        "ip" => 2,
        "arp" => 3,
        "netdev" => 5,
        "bridge" => 7,
        "ip6" => 10,
        _ => return None,
    };
    let is_name = |name: &String| {
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"/\\_.".contains(&byte);
        name.len() < 256 && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(rest)
    };
    let valid = is_name(table) && is_name(set);
    valid.then(|| vec![Value::I32(source), Value::I32(family), table.as_str().into(), set.as_str().into()])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    #[test]
    fn addresses() {
        let zeros = ",0".repeat(14);
        for (value, answer) in [
            ("any", format!("[(2,[0,0,0,0],0),(10,[0,0{zeros}],0)]")),
            ("localhost", format!("[(2,[127,0,0,0],8),(10,[0{zeros},1],128)]")),
            ("link-local", format!("[(2,[169,254,0,0],16),(10,[254,128{zeros}],64)]")),
            ("multicast", format!("[(2,[224,0,0,0],4),(10,[255,0{zeros}],8)]")),
            (" 10.1.2.3/0x8  ::1", format!("[(2,[10,1,2,3],8),(10,[0{zeros},1],128)]")),
            ("", "[]".to_owned()),
        ] {
            let expected = format!("IPAddressAllow a(iayu) {answer}");
            assert_eq!(sent("slice", &format!("IPAddressAllow={value}")), [expected]);
        }
        for bad in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.1/",
            "/8",
            "localhost any",
            "any ",
            "010.0.0.1",
            "::1%lo",
            "ANY",
            "\"10.0.0.1\"",
            "[::1]",
            "1.2.3.4/08",
            "1.2.3.4\\",
            "::1.2.3.04",
        ] {
            refused("socket", &format!("IPAddressDeny={bad}"));
        }
    }

    #[test]
    fn ports() {
        for (value, answer) in [
            ("any", "[(0,0,0,0)]"),
            ("80", "[(0,0,1,80)]"),
            ("80-90", "[(0,0,11,80)]"),
            ("0-65535", "[(0,0,0,0)]"),
            ("ipv4", "[(2,0,0,0)]"),
            ("tcp:any", "[(0,6,0,0)]"),
            ("ipv6:udp: 1000- 2000", "[(10,17,1001,1000)]"),
            ("", "[]"),
        ] {
            let expected = format!("SocketBindAllow a(iiqq) {answer}");
            assert_eq!(sent("scope", &format!("SocketBindAllow={value}")), [expected]);
        }
        for bad in [
            "90-80",
            "65536",
            "-1",
            "1-",
            "1-2-3",
            "any:80",
            "tcp:ipv4",
            "tcp:",
            "ipv4::80",
            ":80",
            "ipv4:tcp:80:90",
            "sctp:80",
            "\"80\"",
            " ",
            "1 2",
            "80\\",
        ] {
            refused("service", &format!("SocketBindDeny={bad}"));
        }
    }

    #[test]
    fn names_of_the_network() {
        for (assignment, answer) in [
            ("RestrictNetworkInterfaces=lo 'a b'", r#"RestrictNetworkInterfaces (bas) (true,["lo","a b"])"#),
            ("RestrictNetworkInterfaces=~ lo", r#"RestrictNetworkInterfaces (bas) (false,["lo"])"#),
            ("RestrictNetworkInterfaces= ~lo", r#"RestrictNetworkInterfaces (bas) (true,["~lo"])"#),
            ("NFTSet=cgroup:inet:t:s user:ip6:a.b:\"c/d\"", r#"NFTSet a(iiss) [(3,1,"t","s"),(4,10,"a.b","c/d")]"#),
            ("NFTSet=:group::arp:t\\x74:s:", r#"NFTSet a(iiss) [(5,3,"tt","s")]"#),
        ] {
            assert_eq!(sent("service", assignment), [answer]);
        }
        for bad in [
            "x",
            "cgroup:inet:t",
            "cgroup:inet:t:s:x",
            "uid:inet:t:s",
            "user:x:t:s",
            "user:ip:1t:s",
            "user:ip:t-t:s",
            "user:ip:t:\"s",
            "user:ip:\\q:s",
        ] {
            refused("service", &format!("NFTSet={bad}"));
        }
    }
}
