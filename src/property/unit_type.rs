//! The types of unit that can be transient.

use super::{Table, conditions, exec, kill, network, path, resource_control, scope, service, socket, timer, unit};

/// A type of unit that can be transient (`systemd.unit(5)`), for [`Properties`](crate::Properties).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnitType {
    /// `systemd.service(5)`
    Service,
    /// `systemd.scope(5)`
    Scope,
    /// `systemd.slice(5)`
    Slice,
    /// `systemd.timer(5)`
    Timer,
    /// `systemd.path(5)`
    Path,
    /// `systemd.socket(5)`
    Socket,
}

impl UnitType {
    /// The suffix of its units' names, without the dot.
    pub fn as_str(self) -> &'static str {
        match self {
            UnitType::Service => "service",
            UnitType::Scope => "scope",
            UnitType::Slice => "slice",
            UnitType::Timer => "timer",
            UnitType::Path => "path",
            UnitType::Socket => "socket",
        }
    }

    /// The type of the unit with this name, where that can be transient.
    pub(crate) fn of(unit: &str) -> Option<Self> {
        use UnitType::*;
        let (_, suffix) = unit.rsplit_once('.')?;
        [Service, Scope, Slice, Timer, Path, Socket].into_iter().find(|other| other.as_str() == suffix)
    }

    /// Where its settings are described. What stands first wins.
    pub(super) fn tables(self) -> &'static [Table] {
        match self {
            UnitType::Service => &[
                service::TABLE,
                resource_control::TABLE,
                network::TABLE,
                exec::TABLE,
                kill::TABLE,
                unit::TABLE,
                conditions::TABLE,
            ],
            UnitType::Scope => &[scope::TABLE, resource_control::TABLE, kill::TABLE, unit::TABLE, conditions::TABLE],
            UnitType::Slice => &[resource_control::TABLE, unit::TABLE, conditions::TABLE],
            UnitType::Timer => &[timer::TABLE, unit::TABLE, conditions::TABLE],
            UnitType::Path => &[path::TABLE, unit::TABLE, conditions::TABLE],
            UnitType::Socket => &[
                socket::TABLE,
                resource_control::TABLE,
                network::TABLE,
                exec::TABLE,
                kill::TABLE,
                unit::TABLE,
                conditions::TABLE,
            ],
        }
    }
}
