//! The programs of the system that the demonstration uses.

use std::env;

use anyhow::{Result, bail};
use nix::unistd::geteuid;

/// Program, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("ethtool", "ethtool"),
    ("dnsmasq", "dnsmasq-base"),
    ("openssl", "openssl"),
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
];

/// Fails if the user is not root or a program is missing, and says what to do.
pub(crate) fn check() -> Result<()> {
    if !geteuid().is_root() {
        bail!("the demonstration makes network namespaces, which needs root: use sudo");
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).collect();
    let is_there = |name: &str| folders.iter().any(|folder| folder.join(name).is_file());
    missing(is_there)
}

fn missing(is_there: impl Fn(&str) -> bool) -> Result<()> {
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    bail!(
        "the demonstration uses programs that are not in PATH: {}\n  on Debian: apt install {}",
        programs.join(", "),
        packages.join(" ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_named_with_their_packages() {
        assert!(missing(|_| true).is_ok());
        let error = missing(|name| name != "dig" && name != "dnsmasq").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("PATH: dnsmasq, dig\n"), "{text}");
        assert!(
            text.ends_with("apt install dnsmasq-base bind9-dnsutils"),
            "{text}"
        );
    }
}
