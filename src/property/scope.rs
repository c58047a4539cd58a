//! The settings of `systemd.scope(5)`.

use super::Table;
use super::forms::{seconds, text};

pub(super) const TABLE: Table = table! {
    seconds: "RuntimeMaxSec" "RuntimeRandomizedExtraSec" "TimeoutStopSec";
    text: "OOMPolicy" "User" "Group";
};
