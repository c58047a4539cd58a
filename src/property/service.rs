//! The settings of `systemd.service(5)`.

use super::Table;
use super::forms::text;

pub(super) const TABLE: Table = &[("Type", text)];
