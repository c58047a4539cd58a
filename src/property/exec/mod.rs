//! The settings of `systemd.exec(5)`.

mod credentials;
mod directories;
mod images;
mod limits;
mod mounts;
mod names;
mod scheduling;
mod sets;
mod streams;

use super::field::Field;
use super::forms::{self, Properties, boolean, mode, optional, seconds, split, text, unsigned32, words};
use super::split::{ESCAPED, QUOTED};
use super::{Property, Table, numbers, time};
use crate::bus::Value;

#[rustfmt::skip]
pub(super) const TABLE: Table = &[
    // Paths
    ("ExecSearchPath", search_path),
    ("WorkingDirectory", text),
    ("RootDirectory", text),
    ("RootImage", text),
    ("RootImageOptions", images::options),
    ("RootImagePolicy", text),
    ("RootEphemeral", boolean),
    ("RootMStack", text),
    ("RootHash", images::root_hash),
    ("RootHashSignature", images::root_hash_signature),
    ("RootVerity", text),
    ("MountAPIVFS", boolean),
    ("ProtectProc", text),
    ("ProcSubset", text),
    ("BindPaths", mounts::bind),
    ("BindReadOnlyPaths", mounts::bind),
    ("BindLogSockets", boolean),
    ("MountImages", images::mounts),
    ("MountImagePolicy", text),
    ("ExtensionImages", images::extensions),
    ("ExtensionImagePolicy", text),
    ("ExtensionDirectories", words),
    // User and group identity
    ("User", text),
    ("Group", text),
    ("DynamicUser", boolean),
    ("SupplementaryGroups", words),
    ("SetLoginEnvironment", boolean),
    ("PAMName", text),
    ("UserNamespacePath", text),
    // Capabilities
    ("CapabilityBoundingSet", sets::capabilities),
    ("AmbientCapabilities", sets::capabilities),
    // Security
    ("NoNewPrivileges", boolean),
    ("SecureBits", sets::secure_bits),
    // Mandatory access control
    ("SELinuxContext", text),
    ("AppArmorProfile", optional_text),
    ("SmackProcessLabel", optional_text),
    // Process properties
    ("LimitCPU", limits::seconds),
    ("LimitFSIZE", limits::size),
    ("LimitDATA", limits::size),
    ("LimitSTACK", limits::size),
    ("LimitCORE", limits::size),
    ("LimitRSS", limits::size),
    ("LimitNOFILE", limits::number),
    ("LimitAS", limits::size),
    ("LimitNPROC", limits::number),
    ("LimitMEMLOCK", limits::size),
    ("LimitLOCKS", limits::number),
    ("LimitSIGPENDING", limits::number),
    ("LimitMSGQUEUE", limits::size),
    ("LimitNICE", limits::nice),
    ("LimitRTPRIO", limits::number),
    ("LimitRTTIME", limits::microseconds),
    ("UMask", mode),
    ("CoredumpFilter", sets::coredump_filter),
    ("KeyringMode", text),
    ("OOMScoreAdjust", forms::signed32),
    ("TimerSlackNSec", nanoseconds),
    ("Personality", text),
    ("IgnoreSIGPIPE", boolean),
    // Scheduling
    ("Nice", scheduling::nice),
    ("CPUSchedulingPolicy", scheduling::cpu_policy),
    ("CPUSchedulingPriority", forms::signed32),
    ("CPUSchedulingResetOnFork", boolean),
    ("CPUAffinity", scheduling::cpu_affinity),
    ("NUMAPolicy", scheduling::numa_policy),
    ("NUMAMask", scheduling::numa_mask),
    ("IOSchedulingClass", scheduling::io_class),
    ("IOSchedulingPriority", scheduling::io_priority),
    ("MemoryKSM", boolean),
    ("MemoryTHP", text),
    // Sandboxing
    ("ProtectSystem", text),
    ("ProtectHome", text),
    ("RuntimeDirectory", directories::with_links),
    ("StateDirectory", directories::with_links),
    ("CacheDirectory", directories::with_links),
    ("LogsDirectory", directories::with_links),
    ("ConfigurationDirectory", words),
    ("RuntimeDirectoryMode", mode),
    ("StateDirectoryMode", mode),
    ("CacheDirectoryMode", mode),
    ("LogsDirectoryMode", mode),
    ("ConfigurationDirectoryMode", mode),
    ("StateDirectoryQuota", directories::quota),
    ("CacheDirectoryQuota", directories::quota),
    ("LogsDirectoryQuota", directories::quota),
    ("StateDirectoryAccounting", boolean),
    ("CacheDirectoryAccounting", boolean),
    ("LogsDirectoryAccounting", boolean),
    ("RuntimeDirectoryPreserve", text),
    ("ReadWritePaths", words),
    ("ReadOnlyPaths", words),
    ("InaccessiblePaths", words),
    ("ReadWriteDirectories", words),
    ("ReadOnlyDirectories", words),
    ("InaccessibleDirectories", words),
    ("ExecPaths", words),
    ("NoExecPaths", words),
    ("TemporaryFileSystem", mounts::temporary),
    ("PrivateTmp", boolean_or_more),
    ("PrivateTmpEx", boolean_or_more),
    ("PrivateDevices", boolean),
    ("PrivateNetwork", boolean),
    ("NetworkNamespacePath", text),
    ("PrivateIPC", boolean),
    ("IPCNamespacePath", text),
    ("PrivatePIDs", text),
    ("PrivateUsers", boolean_or_more),
    ("PrivateUsersEx", boolean_or_more),
    ("PrivateBPF", text),
    ("BPFDelegateCommands", text),
    ("BPFDelegateMaps", text),
    ("BPFDelegatePrograms", text),
    ("BPFDelegateAttachments", text),
    ("ProtectHostname", protect_hostname),
    ("ProtectHostnameEx", protect_hostname),
    ("ProtectClock", boolean),
    ("ProtectKernelTunables", boolean),
    ("ProtectKernelModules", boolean),
    ("ProtectKernelLogs", boolean),
    ("ProtectControlGroups", boolean_or_more),
    ("ProtectControlGroupsEx", boolean_or_more),
    ("RestrictAddressFamilies", sets::names),
    ("RestrictFileSystems", sets::names),
    ("RestrictNamespaces", sets::restrict_namespaces),
    ("DelegateNamespaces", sets::delegate_namespaces),
    ("LockPersonality", boolean),
    ("MemoryDenyWriteExecute", boolean),
    ("RestrictRealtime", boolean),
    ("RestrictSUIDSGID", boolean),
    ("RemoveIPC", boolean),
    ("PrivateMounts", boolean),
    ("MountFlags", mounts::flags),
    // System call filtering
    ("SystemCallFilter", sets::names),
    ("SystemCallErrorNumber", names::error_number),
    ("SystemCallArchitectures", words),
    ("SystemCallLog", sets::names),
    // Environment
    ("Environment", escaped_words),
    ("EnvironmentFile", environment_file),
    ("PassEnvironment", escaped_words),
    ("UnsetEnvironment", escaped_words),
    // Logging and standard input/output
    ("StandardInput", streams::standard),
    ("StandardOutput", streams::standard),
    ("StandardError", streams::standard),
    ("StandardInputText", streams::input_text),
    ("StandardInputData", streams::input_data),
    ("LogLevelMax", names::log_level),
    ("LogExtraFields", streams::log_field),
    ("LogRateLimitIntervalSec", seconds),
    ("LogRateLimitBurst", unsigned32),
    ("LogFilterPatterns", streams::log_filter),
    ("LogNamespace", text),
    ("SyslogIdentifier", text),
    ("SyslogFacility", names::log_facility),
    ("SyslogLevel", names::log_level),
    ("SyslogLevelPrefix", boolean),
    ("TTYPath", text),
    ("TTYReset", boolean),
    ("TTYVHangup", boolean),
    ("TTYColumns", unsigned32),
    ("TTYRows", unsigned32),
    ("TTYVTDisallocate", boolean),
    // Credentials
    ("LoadCredential", credentials::load),
    ("LoadCredentialEncrypted", credentials::load),
    ("ImportCredential", credentials::import),
    ("ImportCredentialEx", credentials::import),
    ("SetCredential", credentials::set),
    ("SetCredentialEncrypted", credentials::set_encrypted),
    // System V compatibility
    ("UtmpIdentifier", text),
    ("UtmpMode", text),
];

/// The first systemd whose systemd-run sends what is sent here, where that of 257 still sent something else.
const AFTER_257: u32 = 258;

/// Text, where a `-` before it makes it optional: type `(bs)`.
fn optional_text(field: &Field<'_>) -> Properties {
    let (optional, text) = optional(field.value);
    field.set(Value::Struct(vec![optional.into(), text.into()]))
}

fn environment_file(field: &Field<'_>) -> Properties {
    let (optional, path) = optional(field.value);
    let files = if field.value.is_empty() { Vec::new() } else { vec![vec![path.into(), optional.into()]] };
    field.set_as("EnvironmentFiles", forms::structs("sb", files))
}

/// Directories with blanks or colons between them. Managers before 258 refuse what their own systemd-run makes of the
/// colons (one directory), so they are sent the same.
fn search_path(field: &Field<'_>) -> Properties {
    field.set(split(field, QUOTED.separators(" \t\n\r:"))?)
}

/// Words with quotes and escapes: type `as`.
fn escaped_words(field: &Field<'_>) -> Properties {
    field.set(split(field, ESCAPED)?)
}

fn nanoseconds(field: &Field<'_>) -> Properties {
    field.set(time::span_in_ns(field.value).ok_or_else(|| field.refuse_part(field.value, time::SPAN))?)
}

/// A boolean, or one of the words that the property `…Ex` takes beside it.
fn boolean_or_more(field: &Field<'_>) -> Properties {
    let base = field.name.strip_suffix("Ex").unwrap_or(field.name).to_owned();
    let extended = format!("{base}Ex");
    match numbers::boolean(field.value) {
        Some(value) if field.name == base => field.set(value),
        Some(value) => {
            Ok(vec![Property::Since(AFTER_257, (base.into(), value.into()), (extended.into(), field.value.into()))])
        }
        None => field.set_as(extended, field.value),
    }
}

/// As [`boolean_or_more`], where a word may have a host name behind it: `private:name`.
fn protect_hostname(field: &Field<'_>) -> Properties {
    if let Some(value) = numbers::boolean(field.value) {
        return field.set_as("ProtectHostname", value);
    }
    let (word, host) = match field.value.split_once(':') {
        Some((_, "")) => return Err(field.refuse("has no host name behind its \":\"")),
        Some(parts) => parts,
        None => (field.value, ""),
    };
    field.set_as("ProtectHostnameEx", Value::Struct(vec![word.into(), host.into()]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::for_version;
    use super::super::{UnitType, read};
    use super::*;

    /// What an assignment becomes, as text: `Name=Value;Name=Value`, for this version of systemd.
    pub(super) fn sent_to(version: u32, assignment: &str) -> String {
        let properties = read(UnitType::Service, assignment).unwrap_or_else(|error| panic!("{error}"));
        let sent = for_version(properties, version)
            .unwrap()
            .into_iter()
            .map(|(name, value)| format!("{name}={}", shown(&value)));
        sent.collect::<Vec<_>>().join(";")
    }

    pub(super) fn sent(assignment: &str) -> String {
        sent_to(262, assignment)
    }

    fn shown(value: &Value) -> String {
        let list = |values: &[Value]| values.iter().map(shown).collect::<Vec<_>>().join(" ");
        match value {
            Value::Bool(value) => value.to_string(),
            Value::I32(value) => format!("i{value}"),
            Value::U32(value) => format!("u{value}"),
            Value::U64(value) => format!("t{value}"),
            Value::Str(text) => format!("'{text}'"),
            Value::Bytes(bytes) => format!("{bytes:?}"),
            Value::Array(element, values) => format!("{element}[{}]", list(values)),
            Value::Struct(values) => format!("({})", list(values)),
            other => panic!("{other:?} is in no property"),
        }
    }

    /// The whole text of the error for an assignment.
    pub(super) fn refused(assignment: &str) -> String {
        match read(UnitType::Service, assignment) {
            Err(error) => error.to_string(),
            Ok(properties) => panic!("{assignment} is not refused: {properties:?}"),
        }
    }

    #[test]
    fn every_setting_has_one_entry() {
        let mut names: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn no_value_makes_a_setting_panic() {
        let values = [
            "", " ", "\\", "\"", "'", "~", "-", "+", ":", "::", ":::", "é", "\\é", "-é:é", "~é", "\\x", "\\u00", "\\U",
            "=", "base64:", "base64:=", "fd:", "0x", "0b", "%", "5.%", "‰", "a:b:ro:c", "-:-:-", "\u{a0}", "00é", "1é",
        ];
        for (name, _) in TABLE {
            for value in values {
                if let Err(error) = read(UnitType::Service, &format!("{name}={value}")) {
                    assert!(error.to_string().starts_with(&format!("{name}=")), "{error}");
                }
            }
        }
    }

    #[test]
    fn text_goes_as_it_is() {
        assert_eq!(sent("User="), "User=''");
        assert_eq!(sent(r#"WorkingDirectory=-~ "/a//../b\"#), r#"WorkingDirectory='-~ "/a//../b\'"#);
        assert_eq!(sent("AppArmorProfile=-a b"), "AppArmorProfile=(true 'a b')");
        assert_eq!(sent("SmackProcessLabel="), "SmackProcessLabel=(false '')");
        assert!(refused("User=\u{ffff}").contains("D-Bus cannot carry"));
        assert!(refused("User=a\0b").contains("NUL"));
    }

    #[test]
    fn lists_of_words() {
        assert_eq!(sent(r#"ReadOnlyPaths=-/a +/b "-/c d""#), "ReadOnlyPaths=s['-/a' '+/b' '-/c d']");
        assert_eq!(sent("ReadOnlyPaths="), "ReadOnlyPaths=s[]");
        assert_eq!(sent(r#"Environment=A="b c" D=\x41"#), "Environment=s['A=b c' 'D=A']");
        assert_eq!(sent(r#"ExecSearchPath=/a:/b "/c:d""#), "ExecSearchPath=s['/a' '/b' '/c:d']");
        assert_eq!(refused("ReadOnlyPaths=\"/a"), r#"ReadOnlyPaths="/a: "\"/a" has a quote that is not closed"#);
        let error = refused(r#"Environment=HUSH="hush"#);
        assert!(!error.contains("hush") && error.contains("quote"), "{error}");
    }

    #[test]
    fn environment_files() {
        assert_eq!(sent("EnvironmentFile=-/a b"), "EnvironmentFiles=(sb)[('/a b' true)]");
        assert_eq!(sent("EnvironmentFile="), "EnvironmentFiles=(sb)[]");
    }

    #[test]
    fn booleans_that_have_become_more() {
        assert_eq!(sent("PrivateTmp=yes"), "PrivateTmp=true");
        assert_eq!(sent("PrivateTmp=disconnected"), "PrivateTmpEx='disconnected'");
        assert_eq!(sent("PrivateUsersEx=on"), "PrivateUsers=true");
        assert_eq!(sent_to(257, "PrivateUsersEx=on"), "PrivateUsersEx='on'");
        assert_eq!(sent("ProtectHostname=0"), "ProtectHostname=false");
        assert_eq!(sent("ProtectHostname=private:a:b"), "ProtectHostnameEx=('private' 'a:b')");
        assert_eq!(sent("ProtectHostname=private"), "ProtectHostnameEx=('private' '')");
        let error = refused("ProtectHostname=private:");
        assert_eq!(error, "ProtectHostname=private:: has no host name behind its \":\"");
    }

    #[test]
    fn time_spans() {
        assert_eq!(sent("TimerSlackNSec=1.5us"), "TimerSlackNSec=t1500");
        assert_eq!(sent("LogRateLimitIntervalSec=5ms"), "LogRateLimitIntervalUSec=t5000");
        assert!(refused("TimerSlackNSec=x").contains("is not a time span"));
    }
}
