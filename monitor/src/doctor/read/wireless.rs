//! WiFi interfaces that forward frames between stations, over nl80211.

use std::io;

use super::{generic::Family, hostapd};
use crate::doctor::facts::{Wireless, WirelessKind};
use crate::netlink::{long_number, text, value};

// Values of the kernel's uapi header nl80211.h.
const NL80211_CMD_GET_INTERFACE: u8 = 5;
const NL80211_ATTR_IFINDEX: u16 = 3;
const NL80211_ATTR_IFNAME: u16 = 4;
const NL80211_ATTR_IFTYPE: u16 = 5;
const NL80211_IFTYPE_AP: u32 = 3;
const NL80211_IFTYPE_MESH_POINT: u32 = 7;

/// Access points and mesh points of this network namespace.
pub(super) fn wireless() -> io::Result<Vec<Wireless>> {
    let Some(nl80211) = Family::named("nl80211")? else {
        return Ok(Vec::new());
    };
    let answers = nl80211.list(NL80211_CMD_GET_INTERFACE)?;
    let found: Vec<_> = answers
        .iter()
        .filter_map(|answer| interface(answer))
        .collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let files = hostapd::files();
    let each = found.into_iter().map(|(index, name, is_mesh)| Wireless {
        kind: if is_mesh {
            WirelessKind::Mesh
        } else {
            WirelessKind::AccessPoint(hostapd::isolation(&files, &name))
        },
        index,
        name,
    });
    Ok(each.collect())
}

/// Index and name of an access point or mesh point, and true if it is a mesh point.
fn interface(answer: &[u8]) -> Option<(u32, String, bool)> {
    let is_mesh = match value(answer, NL80211_ATTR_IFTYPE).and_then(long_number)? {
        NL80211_IFTYPE_AP => false,
        NL80211_IFTYPE_MESH_POINT => true,
        _ => return None,
    };
    let index = value(answer, NL80211_ATTR_IFINDEX).and_then(long_number)?;
    Some((
        index,
        value(answer, NL80211_ATTR_IFNAME).map(text)?,
        is_mesh,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute;

    #[test]
    fn access_points_and_mesh_points_are_found_and_stations_are_not() {
        let answer = |kind: u32| {
            [
                attribute(NL80211_ATTR_IFINDEX, &5_u32.to_ne_bytes()),
                attribute(NL80211_ATTR_IFNAME, b"wlan0\0"),
                attribute(NL80211_ATTR_IFTYPE, &kind.to_ne_bytes()),
            ]
            .concat()
        };
        let wlan0 = |is_mesh| Some((5, "wlan0".to_owned(), is_mesh));
        assert_eq!(interface(&answer(NL80211_IFTYPE_AP)), wlan0(false));
        assert_eq!(interface(&answer(NL80211_IFTYPE_MESH_POINT)), wlan0(true));
        assert_eq!(interface(&answer(2)), None);
    }
}
