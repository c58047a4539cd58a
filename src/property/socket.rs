//! The settings of `systemd.socket(5)`.

use super::Table;
use super::forms::boolean;

pub(super) const TABLE: Table = &[("Accept", boolean)];
