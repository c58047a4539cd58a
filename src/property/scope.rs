//! The settings of `systemd.scope(5)`.

use super::Table;
use super::forms::text;

pub(super) const TABLE: Table = &[("OOMPolicy", text)];
