//! The settings of `systemd.unit(5)`.

use super::Table;
use super::forms::text;

pub(super) const TABLE: Table = &[("Description", text)];
