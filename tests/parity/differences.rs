//! Where sdrun and systemd-run differ, and why.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::RangeInclusive;

use sdrun::UnitType::{self, *};

struct Difference {
    versions: RangeInclusive<u32>,
    /// None: all.
    types: &'static [UnitType],
    /// The assignments. `*` stands for anything.
    assignments: &'static [&'static str],
    reason: &'static str,
}

const ALL: RangeInclusive<u32> = 252..=262;
/// Those whose systemd-run reads some values in another way than the newest, as sdrun does.
const OLD: RangeInclusive<u32> = 252..=257;

const DIFFERENCES: &[Difference] = &[
    Difference { versions: ALL, types: &[], assignments: &["OnSuccessJobMode=*"], reason: BY_NAME },
    Difference {
        versions: ALL,
        types: &[Service, Socket],
        assignments: &["NonBlocking=*", "LimitNOFILESoft=*", "RootHashPath=*"],
        reason: BY_NAME,
    },
    Difference { versions: ALL, types: &[Scope], assignments: &["Controller=*"], reason: BY_NAME },
    Difference {
        versions: 257..=262,
        types: &[Service, Scope, Socket, Slice],
        assignments: &[
            "StartupMemoryLow=*",
            "StartupMemoryHigh=*",
            "StartupMemoryMax=*",
            "StartupMemorySwapMax=*",
            "StartupMemoryZSwapMax=*",
        ],
        reason: BY_NAME,
    },
    Difference {
        versions: 262..=262,
        types: &[Socket],
        assignments: &["AcceptFileDescriptors=*", "PassPIDFD=*"],
        reason: BY_NAME,
    },
    Difference {
        versions: 262..=262,
        types: &[Slice],
        assignments: &["ConcurrencyHardMax=*", "ConcurrencySoftMax=*", "ActivatingConcurrencyMax=*"],
        reason: BY_NAME,
    },
    Difference {
        versions: OLD,
        types: &[],
        assignments: &[
            "ConditionFraction=",
            "ConditionKernelModuleLoaded=",
            "ConditionMachineTag=",
            "ConditionPathIsSocket=",
            "ConditionVersion=",
            "AssertFraction=",
            "AssertKernelModuleLoaded=",
            "AssertMachineTag=",
            "AssertPathIsSocket=",
            "AssertVersion=",
        ],
        reason: "an empty list of conditions is the same for each kind of condition, so also for a kind that is newer",
    },
    Difference {
        versions: OLD,
        types: &[Service, Socket],
        assignments: &["StandardInputText=*"],
        reason: "systemd-run sent it under that name, which no manager knows; sdrun sends what 262 does",
    },
    Difference {
        versions: OLD,
        types: &[Service, Scope, Socket, Slice],
        assignments: &["IODeviceLatencyTargetSec="],
        reason: "systemd-run sent a part of its memory (252) or failed (257); sdrun sends the empty list of 262",
    },
    Difference {
        versions: OLD,
        types: &[Service, Scope, Socket, Slice],
        assignments: &[
            "AllowedCPUs=*-*",
            "StartupAllowedCPUs=*-*",
            "AllowedMemoryNodes=*-*",
            "StartupAllowedMemoryNodes=*-*",
            "CPUAffinity=*-*",
            "NUMAMask=*-*",
        ],
        reason: "a range that ends before it begins was an empty set, which nobody can mean; 262 refuses it",
    },
    Difference {
        versions: OLD,
        types: &[Service, Socket],
        assignments: &["ExecSearchPath=*:*"],
        reason: "systemd-run did not split at colons, so the path was never found; sdrun does, as 262",
    },
    Difference {
        versions: OLD,
        types: &[Service, Socket],
        assignments: &["ProtectHostnameEx=*"],
        reason: "where it is a boolean sdrun sends the plain property, as 262; every manager knows that",
    },
    Difference {
        versions: 257..=257,
        types: &[Service, Socket],
        assignments: &["PrivateTmp=*", "PrivateUsers=*", "ProtectControlGroups=*"],
        reason: "the manager took more than a boolean (as PrivateTmpEx and so on) before systemd-run could say it",
    },
    Difference {
        versions: 257..=257,
        types: &[Service, Socket],
        assignments: &["ImportCredential=*:*"],
        reason: "systemd-run made the new name a part of the pattern; sdrun sends it as 262, which the manager understands",
    },
    Difference {
        versions: 257..=257,
        types: &[Service, Scope, Socket, Slice],
        assignments: &["DefaultStartupMemoryLow=*"],
        reason: BY_NAME,
    },
    Difference {
        versions: 252..=252,
        types: &[Service, Socket],
        assignments: &["RuntimeDirectory=*:*:*", "StateDirectory=*:*:*", "CacheDirectory=*:*:*", "LogsDirectory=*:*:*"],
        reason: "systemd-run dropped what stands behind the second colon; sdrun sends it, as 257, and the manager refuses it",
    },
    Difference {
        versions: 252..=252,
        types: &[Service, Socket],
        assignments: &["CapabilityBoundingSet=*6*", "AmbientCapabilities=*6*"],
        reason: "a capability that cannot be was a bit all the same; sdrun leaves it out, as 257",
    },
    Difference {
        versions: OLD,
        types: &[Socket],
        assignments: &["MessageQueueMessageSize=*"],
        reason: "it was a bare number, also a negative one; sdrun takes a size, as 262",
    },
];

const BY_NAME: &str = "systemd-run does not know the setting; sdrun asks the manager for the property's type";

/// The differences of one version of systemd.
pub struct Known {
    version: u32,
    count: usize,
    used: RefCell<HashSet<&'static str>>,
}

impl Known {
    pub fn new(version: u32) -> Self {
        Known { version, count: 0, used: RefCell::default() }
    }

    /// Why the two differ here, if they are known to.
    pub fn reason(&mut self, unit_type: UnitType, assignment: &str) -> Option<&'static str> {
        let difference = DIFFERENCES.iter().filter(|difference| self.applies(difference)).find_map(|difference| {
            let of_type = difference.types.is_empty() || difference.types.contains(&unit_type);
            let pattern = difference.assignments.iter().find(|pattern| of_type && matches(pattern, assignment))?;
            Some((difference.reason, *pattern))
        });
        let (reason, pattern) = difference?;
        self.used.borrow_mut().insert(pattern);
        self.count += 1;
        Some(reason)
    }

    fn applies(&self, difference: &Difference) -> bool {
        difference.versions.contains(&self.version)
    }

    /// How many assignments there was a reason for.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What is listed, and no difference any more.
    pub fn unused(&self) -> Vec<&'static str> {
        let used = self.used.borrow();
        let all = DIFFERENCES.iter().filter(|difference| self.applies(difference));
        let unused = all.filter(|difference| !difference.assignments.iter().any(|pattern| used.contains(pattern)));
        unused.map(|difference| difference.assignments[0]).collect()
    }
}

/// Whether the text is the pattern, in which `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            after.is_empty() || rest.char_indices().any(|(at, _)| matches(after, &rest[at..])) || matches(after, "")
        }),
    }
}

#[test]
fn patterns() {
    assert!(matches("A=", "A=") && !matches("A=", "A=b") && matches("A=*", "A=") && matches("A=*:*", "A=b:c"));
    assert!(!matches("A=*:*", "A=bc") && matches("*a", "ba") && !matches("a*b", "a"));
}
