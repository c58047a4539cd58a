//! The settings of `systemd.exec(5)`.

use super::Table;
use super::forms::{boolean, text};

pub(super) const TABLE: Table = &[("PrivateTmp", boolean), ("User", text)];
