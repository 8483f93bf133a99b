//! Tagged frames: the filter on the interface that receives them, and on the VLAN device
//! that removes the tag.

use anyhow::{Context as _, Result};

use super::gateway::{Gateway, POLICIES, bytes, rounds};
use super::phone::{ALL, FILTERED, MAC, Servers, WiredPhone};
use super::{Guest, fact, ip, must_be, seen};
use crate::netns::Namespace;
use crate::system::call;

pub(super) fn play(guest: &Guest) -> Result<()> {
    guest.load_modules(&["veth", "8021q"])?;
    let phone = WiredPhone::connect("trunk0", 2)?;
    tag(&phone)?;
    let servers = Servers::start()?;
    must_be("without a filter", &servers.round(&phone.namespace)?, &ALL)?;
    let trial = VlanTest {
        guest,
        phone: &phone.namespace,
        servers: &servers,
    };
    for mode in ["generic", "native"] {
        let case = format!("trunk0 in {mode} mode");
        let bytes = trial.filter("trunk0", mode, mode).context(case)?;
        must_be("bytes dropped", &bytes, &rounds(TAGGED))?;
        seen(format!(
            "trunk0, {mode} mode: the tagged frames, of {TAGGED} bytes each, were matched through their tag"
        ));
    }
    fact("vlan", "yes");
    let bytes = trial
        .filter("trunk0.7", "auto", "generic")
        .context("trunk0.7")?;
    must_be("bytes dropped", &bytes, &rounds(FRAME))?;
    seen(format!(
        "trunk0.7, the VLAN device itself: auto chose generic; the frames had {FRAME} bytes each, and were dropped"
    ));
    Ok(())
}

/// Bytes of a datagram in an Ethernet frame, without and with a tag.
const FRAME: u64 = 14 + 20 + 8 + 8;
const TAGGED: u64 = FRAME + 4;

/// Moves the phone's traffic to VLAN 7 on both ends.
fn tag(phone: &WiredPhone) -> Result<()> {
    ip("link add link trunk0 name trunk0.7 type vlan id 7")?;
    ip("address add 10.77.7.1/24 dev trunk0.7")?;
    ip("link set trunk0.7 up")?;
    // The tag must be in the frame, not in the metadata of the skb.
    call(
        "ethtool",
        ["-K", "trunk0", "rxvlan", "off", "txvlan", "off"],
    )?;
    let inside = &phone.namespace;
    inside.ip("link add link eth0 name eth0.7 type vlan id 7")?;
    inside.ip("link set eth0.7 up")?;
    inside.ip("address add 10.77.7.2/24 dev eth0.7")?;
    inside.ip("route replace default via 10.77.7.1")
}

struct VlanTest<'a> {
    guest: &'a Guest,
    phone: &'a Namespace,
    servers: &'a Servers,
}

impl VlanTest<'_> {
    /// Runs one trial, from attaching to detaching. Returns the dropped bytes.
    fn filter(&self, interface: &str, mode: &str, expected: &str) -> Result<u64> {
        let name = format!("vlan-{}-{mode}", interface.replace('.', "-"));
        let mut gateway = Gateway::new(self.guest, &name, POLICIES)?;
        gateway.start(interface, &["--mode", mode])?;
        gateway.must_be_in_mode(interface, expected)?;
        must_be("filtered", &self.servers.round(self.phone)?, &FILTERED)?;
        gateway.must_have_counted_a_round(interface, MAC)?;
        let bytes = bytes(&gateway.interface(interface)?["ipv4"]["dropped"])?;
        gateway.detach(interface)?;
        must_be("detached", &self.servers.round(self.phone)?, &ALL)?;
        Ok(bytes)
    }
}
