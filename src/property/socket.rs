//! The settings of `systemd.socket(5)`.

use std::borrow::Cow;

use super::exec_line::exec_line;
use super::field::Field;
use super::forms::{boolean, mode, seconds, signed32, size, structs, text, unsigned32, words};
use super::{Property, Table, numbers};
use crate::bus::Value;
use crate::error::Result;

// Later than 252: PollLimit… (255), PassFileDescriptorsToExec (256), DeferTrigger… and XAttr… (258 and later).
pub(super) const TABLE: Table = table! {
    listen: "ListenStream" "ListenDatagram" "ListenSequentialPacket" "ListenFIFO" "ListenSpecial" "ListenNetlink"
        "ListenMessageQueue" "ListenUSBFunction";
    text: "BindIPv6Only" "BindToDevice" "SocketUser" "SocketGroup" "SmackLabel" "SmackLabelIPIn" "SmackLabelIPOut"
        "Timestamping" "TCPCongestion" "FileDescriptorName" "DeferTrigger";
    boolean: "Accept" "Writable" "FlushPending" "KeepAlive" "NoDelay" "ReusePort" "SELinuxContextFromNet" "FreeBind"
        "Transparent" "Broadcast" "PassCredentials" "PassSecurity" "PassPacketInfo" "RemoveOnStop"
        "PassFileDescriptorsToExec";
    unsigned32: "Backlog" "MaxConnections" "MaxConnectionsPerSource" "KeepAliveProbes" "TriggerLimitBurst"
        "PollLimitBurst";
    signed32: "Priority" "IPTTL" "Mark";
    signed64: "MessageQueueMaxMessages";
    size: "ReceiveBuffer" "SendBuffer" "PipeSize";
    message_size: "MessageQueueMessageSize";
    seconds: "KeepAliveTimeSec" "KeepAliveIntervalSec" "DeferAcceptSec" "TimeoutSec" "TriggerLimitIntervalSec"
        "PollLimitIntervalSec" "DeferTriggerMaxSec";
    mode: "SocketMode" "DirectoryMode";
    words: "Symlinks";
    exec_line: "ExecStartPre" "ExecStartPost" "ExecReload" "ExecStopPost";
    protocol: "SocketProtocol";
    type_of_service: "IPTOS";
    attribute: "XAttrEntryPoint" "XAttrListen" "XAttrAccept";
};

/// What is listened on, by the kind that the name of the setting says; nothing where it is empty. Whether it is an
/// address is for systemd to say.
fn listen(field: &Field<'_>) -> Result<Vec<Property>> {
    let kind = field.name.strip_prefix("Listen").unwrap_or(field.name);
    let entry = [kind, field.value].map(Value::from).to_vec();
    let entries = if field.value.is_empty() { Vec::new() } else { vec![entry] };
    field.set_as("Listen", structs("ss", entries))
}

/// An extended attribute, `NAME=VALUE`; none of them where it is empty.
fn attribute(field: &Field<'_>) -> Result<Vec<Property>> {
    if field.value.is_empty() {
        return field.set(structs("ss", Vec::new()));
    }
    let Some((name, value)) = field.value.split_once('=') else {
        return Err(field.refuse_part(field.value, "is not an extended attribute (expected NAME=VALUE)"));
    };
    field.set(structs("ss", vec![[name, value].map(Value::from).to_vec()]))
}

/// A number of type `x`.
fn signed64(field: &Field<'_>) -> Result<Vec<Property>> {
    let expected = "is not a whole number from -9223372036854775808 to 9223372036854775807";
    let value = numbers::signed(field.value).ok_or_else(|| field.refuse_part(field.value, expected))?;
    field.set(value)
}

/// The `systemd-run` of 258 and later takes a size, those before took a number.
fn message_size(field: &Field<'_>) -> Result<Vec<Property>> {
    let size = numbers::size(field.value).and_then(|size| i64::try_from(size).ok());
    match (size, numbers::signed(field.value)) {
        (Some(size), Some(number)) if size != number => {
            let property = |value: i64| (Cow::from("MessageQueueMessageSize"), Value::from(value));
            Ok(vec![Property::Since(258, property(size), property(number))])
        }
        (Some(size), _) => field.set(size),
        (None, _) => Err(field.refuse_part(field.value, super::forms::SIZE)),
    }
}

/// `IPTOS=`: a name or a number.
fn type_of_service(field: &Field<'_>) -> Result<Vec<Property>> {
    let named = match field.value {
        "low-delay" => Some(16),
        "throughput" => Some(8),
        "reliability" => Some(4),
        "low-cost" => Some(2),
        number => numbers::signed32(number).filter(|number| (0..=255).contains(number)),
    };
    let expected =
        "is not a type of service (expected low-delay, throughput, reliability, low-cost or a number up to 255)";
    field.set(named.ok_or_else(|| field.refuse_part(field.value, expected))?)
}

/// The protocols of `ip(7)` that systemd knows.
const PROTOCOLS: [(&str, i32); 37] = [
    ("ip", 0),
    ("hopopts", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("egp", 8),
    ("pup", 12),
    ("udp", 17),
    ("idp", 22),
    ("tp", 29),
    ("dccp", 33),
    ("ipv6", 41),
    ("routing", 43),
    ("fragment", 44),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("none", 59),
    ("dstopts", 60),
    ("mtp", 92),
    ("beetph", 94),
    ("encap", 98),
    ("pim", 103),
    ("comp", 108),
    ("l2tp", 115),
    ("sctp", 132),
    ("mh", 135),
    ("udplite", 136),
    ("mpls", 137),
    ("ethernet", 143),
    ("aggfrag", 144),
    ("raw", 255),
    ("smc", 256),
    ("mptcp", 262),
];

/// `SocketProtocol=`: a name or its number; the one that goes with the kind of socket where it is empty.
fn protocol(field: &Field<'_>) -> Result<Vec<Property>> {
    let named = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(field.value)).map(|(_, number)| *number);
    let numbered =
        || numbers::signed32(field.value).filter(|number| PROTOCOLS.iter().any(|(_, other)| other == number));
    match named.or_else(numbered) {
        Some(number) => field.set(number),
        None if field.value.is_empty() => field.set(0),
        None => Err(field
            .refuse_part(field.value, "is not a protocol (expected one that goes over IP, as sctp, or its number)")),
    }
}
