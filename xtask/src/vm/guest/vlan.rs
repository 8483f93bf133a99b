//! Tagged frames: through the tag on the interface that they come in on, and on
//! the VLAN device that takes the tag off.

use anyhow::{Context as _, Result};

use super::gateway::{Gateway, POLICIES, rounds};
use super::phone::{ALL, BLOCKED, FILTERED, MAC, Servers, WiredPhone};
use super::{Guest, ip, must_be, seen};
use crate::system::call;

pub(super) fn play(guest: &Guest) -> Result<()> {
    guest.load_modules(&["veth", "8021q"])?;
    let phone = WiredPhone::connect("trunk0", 2)?;
    tag(&phone)?;
    let servers = Servers::start()?;
    must_be("without a filter", &servers.round(&phone.namespace)?, &ALL)?;
    for mode in ["generic", "native"] {
        let case = format!("trunk0 in {mode} mode");
        filter(guest, "trunk0", mode, mode, &phone, &servers).context(case)?;
        seen(format!(
            "the tagged frames on trunk0 were matched through their tag, in {mode} mode"
        ));
    }
    filter(guest, "trunk0.7", "auto", "generic", &phone, &servers).context("trunk0.7")?;
    seen(
        "the filter on the VLAN device trunk0.7 itself: auto chose generic, and it dropped the same",
    );
    Ok(())
}

/// Moves the phone's traffic to VLAN 7 on both ends.
fn tag(phone: &WiredPhone) -> Result<()> {
    ip("link add link trunk0 name trunk0.7 type vlan id 7")?;
    ip("address add 10.77.7.1/24 dev trunk0.7")?;
    ip("link set trunk0.7 up")?;
    // In the frame, and not beside it in the kernel's own notes.
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

fn filter(
    guest: &Guest,
    interface: &str,
    mode: &str,
    expected: &str,
    phone: &WiredPhone,
    servers: &Servers,
) -> Result<()> {
    let name = format!("vlan-{}-{mode}", interface.replace('.', "-"));
    let mut gateway = Gateway::new(guest, &name, POLICIES)?;
    gateway.start(interface, &["--mode", mode])?;
    gateway.must_be_in_mode(interface, expected)?;
    must_be("filtered", &servers.round(&phone.namespace)?, &FILTERED)?;
    must_be(
        &format!("dropped to {BLOCKED}"),
        &gateway.dropped(interface)?,
        &rounds(1),
    )?;
    must_be(
        "of the device",
        &gateway.device("blocked", MAC)?,
        &(0, rounds(1)),
    )?;
    must_be(
        "looked at",
        &gateway.device("looked-at", MAC)?,
        &(rounds(1), 0),
    )?;
    gateway.detach(interface)?;
    must_be("detached", &servers.round(&phone.namespace)?, &ALL)
}
