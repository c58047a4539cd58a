//! Numbers of bytes as systemd writes them.

/// `12B`, `1.5K`, `3M`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 6] = [("E", 60), ("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    let Some((unit, shift)) = UNITS.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes}B");
    };
    match (bytes >> (shift - 10)) % 1024 * 10 / 1024 {
        0 => format!("{}{unit}", bytes >> shift),
        tenths => format!("{}.{tenths}{unit}", bytes >> shift),
    }
}
