//! The settings of `systemd.path(5)`.

use super::Table;
use super::forms::boolean;

pub(super) const TABLE: Table = &[("MakeDirectory", boolean)];
