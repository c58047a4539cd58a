//! The settings of `systemd.resource-control(5)`.

use super::Table;
use super::forms::boolean;

pub(super) const TABLE: Table = &[("MemoryAccounting", boolean)];
