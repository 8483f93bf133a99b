//! `monitor explain`: what the policies decide about an address, and why.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::bail;
use clap::Args;
use monitor::{
    explain::explain,
    policy::{Disk, load},
};

use super::{Common, Outcome, eprint_diagnostics, print, print_json};

/// Explain what happens to packets for an address: all matching policies, and where each is written.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The destination address.
    #[arg(value_parser = address)]
    address: IpAddr,
}

impl Explain {
    pub(crate) fn run(self, common: &Common) -> anyhow::Result<Outcome> {
        let loaded = load(&common.policies, &Disk);
        if loaded.diagnostics.has_errors() {
            eprint_diagnostics(&loaded.diagnostics);
            bail!("the policies cannot be used: mend the errors above");
        }
        let explanation = explain(&loaded.policies, self.address);
        if common.json {
            print_json(&explanation)?;
        } else {
            print(&explanation.to_string())?;
        }
        Ok(Outcome::Fine)
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    let mapped = text
        .parse::<Ipv6Addr>()
        .ok()
        .and_then(|address| address.to_ipv4_mapped());
    if let Some(ipv4) = mapped {
        return Err(format!("on the wire its packets are IPv4; write {ipv4}"));
    }
    let help = "write one IPv4 or IPv6 address such as 42.62.48.181";
    text.parse().map_err(|error| format!("{error}; {help}"))
}
