//! The settings of `systemd.timer(5)`.

use super::Table;
use super::forms::boolean;

pub(super) const TABLE: Table = &[("Persistent", boolean)];
