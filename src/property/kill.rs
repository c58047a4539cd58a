//! The settings of `systemd.kill(5)`.

use super::Table;
use super::forms::text;

pub(super) const TABLE: Table = &[("KillMode", text)];
