//! The interfaces and what leads where, for `monitor setup`.

use super::{dhcp, links, wireless};
use crate::{
    datapath, default_routes::default_routes, doctor::facts::Network, error_text::error_text,
};

/// Reads the interfaces of this network namespace.
///
/// # Errors
///
/// The text of the kernel's answer, if it lists no interfaces.
pub fn network() -> Result<Network, String> {
    let links = links::links().map_err(|error| error_text(&error))?;
    let (dhcp, dhcp_for_several) = dhcp::servers(&links);
    Ok(Network {
        far_sides: default_routes().map_err(|error| error_text(&error))?,
        dhcp,
        dhcp_for_several,
        // A machine without WiFi has no nl80211.
        wireless: wireless::wireless().unwrap_or_default(),
        pppoe: datapath::pppoe_carriers(),
        links,
    })
}
