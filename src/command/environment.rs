//! The environment variables of a command.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::words;
use crate::bus::Value;
use crate::error::{Error, Result};
use crate::property::Properties;

/// What is set and what is taken away.
#[derive(Clone, Default)]
pub(super) struct Environment {
    /// By name; `None` is to be unset.
    variables: BTreeMap<String, Option<String>>,
    /// What the manager hands on is taken away.
    pub cleared: bool,
}

/// The most variables that one command may have. systemd compares each with all others, more than once, and does nothing else
/// meanwhile, for no unit: 10,000 take its manager 2 s, 40,000 took 36 s (252 and 262).
const MOST: usize = 10_000;

/// What the manager sets for a service beside its own environment, and a child would inherit (`systemd.exec(5)`,
/// "Environment Variables in Spawned Processes"). What it tells the service about itself is not among them.
const SET_BY_MANAGER: [&str; 8] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "XDG_RUNTIME_DIR"];

impl Environment {
    pub fn set(&mut self, name: String, value: String) {
        self.variables.insert(name, Some(value));
    }

    pub fn unset(&mut self, name: String) {
        self.variables.insert(name, None);
    }

    pub fn clear(&mut self) {
        self.variables.clear();
        self.cleared = true;
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.as_deref()
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.variables.keys()
    }

    /// `NAME=VALUE` of each that is set.
    pub fn assignments(&self) -> impl Iterator<Item = String> {
        self.variables.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")))
    }

    /// Refuses what would keep the manager from everything else for long, with what the properties set beside it.
    pub fn check_count(&self, extra: &Properties) -> Result<()> {
        let more = extra.known().map(|(name, value)| match (name, value) {
            ("Environment", Value::Array(_, values)) => values.len(),
            _ => 0,
        });
        let count = self.variables.len() + more.sum::<usize>();
        if count <= MOST {
            return Ok(());
        }
        let reason = format!(
            "has {count} variables, over which systemd would do nothing else for long: {MOST} are the most; \
             EnvironmentFile= reads more from a file"
        );
        Err(Error::invalid("environment", "", reason))
    }

    /// Refuses what Linux would not pass on to a program of this host.
    pub fn check(&self) -> Result<()> {
        let set = self.variables.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        set.into_iter().try_for_each(|(name, value)| words::passable_variable(name, value))
    }

    /// What a child has that would inherit `own`, but for what is overridden by `of_user`. Where all was taken away, only
    /// what was set.
    pub fn of_child(
        &self,
        own: impl IntoIterator<Item = (OsString, OsString)>,
        of_user: Vec<(OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        let mut all: BTreeMap<OsString, OsString> = BTreeMap::new();
        if !self.cleared {
            all.extend(own);
            all.extend(of_user);
        }
        for (name, value) in &self.variables {
            match value {
                Some(value) => drop(all.insert(name.into(), value.into())),
                None => drop(all.remove(OsStr::new(name))),
            }
        }
        all.into_iter().collect()
    }

    /// The names that are taken away, where the manager has these in its own environment.
    pub fn unset_names(&self, of_manager: Vec<String>) -> Vec<String> {
        let removed = self.variables.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.clone());
        let mut names: Vec<_> = removed.collect();
        if self.cleared {
            let inherited = of_manager.into_iter().chain(SET_BY_MANAGER.map(String::from));
            names.extend(inherited.filter(|name| !self.variables.contains_key(name)));
            names.sort_unstable();
            names.dedup();
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_inherits_what_is_not_changed() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let own = || [pair("HOME", "/root"), pair("KEPT", "1"), pair("GONE", "1"), pair("SET", "1")];
        let mut environment = Environment::default();
        environment.set("SET".into(), "2".into());
        environment.unset("GONE".into());
        let all = environment.of_child(own(), vec![pair("HOME", "/home/x"), pair("SET", "0")]);
        assert_eq!(all, [pair("HOME", "/home/x"), pair("KEPT", "1"), pair("SET", "2")]);
        environment.clear();
        environment.set("A".into(), "b".into());
        assert_eq!(environment.of_child(own(), vec![pair("HOME", "/home/x")]), [pair("A", "b")]);
    }

    #[test]
    fn what_is_set_is_never_unset() {
        let mut environment = Environment::default();
        environment.set("LOST".into(), "1".into());
        environment.clear();
        environment.set("PATH".into(), "/bin".into());
        environment.unset("GONE".into());
        assert_eq!(environment.assignments().collect::<Vec<_>>(), ["PATH=/bin"]);
        let names = environment.unset_names(vec!["PATH".into(), "FROM_MANAGER".into(), "LANG".into()]);
        assert_eq!(
            names,
            ["FROM_MANAGER", "GONE", "HOME", "LANG", "LOGNAME", "SHELL", "TERM", "USER", "XDG_RUNTIME_DIR"]
        );
    }
}
