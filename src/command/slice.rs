//! The slice that this process is in.

use crate::error::{Error, Result};

/// The slice that a command goes to that inherits this process's (`systemd-run --slice-inherit`).
pub(super) fn inherited(below: Option<&str>, of_user_manager: bool) -> Result<String> {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| {
        Error::invalid("slice_inherit", "", format!("cannot find this process's own slice: {error}"))
    })?;
    let own = own_slice(&cgroups, of_user_manager);
    Ok(match below {
        Some(below) if own == ROOT => below.to_owned(),
        Some(below) => format!("{}-{below}", own.trim_end_matches(SUFFIX)),
        None => own.to_owned(),
    })
}

const ROOT: &str = "-.slice";
const SUFFIX: &str = ".slice";

/// The innermost slice in the path of the control group (`cgroups(7)`), as one manager sees it: the system's does not
/// look into what it has delegated, and a user's sees only what lies below its own service.
fn own_slice(cgroups: &str, of_user_manager: bool) -> &str {
    // The unified hierarchy is number 0; where there is another for systemd alone, it has a name.
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::").filter(|path| *path != "/"));
    let named = || cgroups.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    let path = path.or_else(named).unwrap_or("/");
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    if of_user_manager && !parts.any(|part| part.starts_with("user@") && part.ends_with(".service")) {
        return ROOT;
    }
    parts.take_while(|part| part.ends_with(SUFFIX)).last().unwrap_or(ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_slice_is_found() {
        let unified = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.slice/run-1.scope\n";
        assert_eq!(own_slice(unified, false), "user-1000.slice");
        assert_eq!(own_slice(unified, true), "app-x.slice");
        assert_eq!(own_slice("0::/system.slice/x.service/sub\n", false), "system.slice");
        assert_eq!(own_slice("0::/init.scope\n", false), ROOT);
        assert_eq!(own_slice("0::/system.slice/x.service\n", true), ROOT);
        assert_eq!(own_slice("12:cpu:/\n1:name=systemd:/a.slice/a-b.slice/x.service\n0::/\n", false), "a-b.slice");
        assert_eq!(own_slice("", false), ROOT);
    }
}
