//! The settings of `systemd.kill(5)`.

use super::Table;
use super::forms::{boolean, text};
use super::signals::signal_number;

pub(super) const TABLE: Table = table! {
    text: "KillMode";
    signal_number: "KillSignal" "RestartKillSignal" "FinalKillSignal" "WatchdogSignal";
    boolean: "SendSIGHUP" "SendSIGKILL";
};
