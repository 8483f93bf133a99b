//! The station that sends the canary's frames. The operator names a station, or the command
//! makes one.

use std::{fs, io, thread, time::Duration};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{CanaryError, Namespace, on, socket::Sender};
use crate::{
    doctor::{
        facts::{Link, LinkKind},
        read::links::links,
    },
    netlink::{attribute, change},
};

// Values of the kernel's uapi headers rtnetlink.h, if_link.h and veth.h.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;

/// The most interfaces of a station.
const MOST_INTERFACES: usize = 8;

/// Where the canary's frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// No station: nothing is sent.
    Nowhere,
    /// The interfaces of a namespace, or this one of them.
    Namespace(String, Option<String>),
    /// This interface of the gateway, whose other end is a station.
    Interface(String),
    /// A station of our own, on this bridge.
    Bridge(String),
}

/// A station.
pub(super) enum Station<'a> {
    Nowhere,
    Named(Namespace),
    Gateway(&'a Namespace),
    Own(Joined<'a>),
}

impl<'a> Station<'a> {
    pub(super) fn of(source: &Source, gateway: &'a Namespace) -> Result<Self, CanaryError> {
        Ok(match source {
            Source::Nowhere => Self::Nowhere,
            Source::Namespace(name, _) => Self::Named(Namespace::named(name)?),
            Source::Interface(_) => Self::Gateway(gateway),
            Source::Bridge(bridge) => Self::Own(Joined::new(gateway, bridge)?),
        })
    }

    /// The interfaces that send.
    pub(super) fn interfaces(&self, source: &Source) -> Result<Vec<Link>, CanaryError> {
        let Some(namespace) = self.namespace() else {
            return Ok(Vec::new());
        };
        let found = namespace
            .run(links)?
            .map_err(on("list the interfaces of the station"))?;
        let named = match source {
            Source::Namespace(_, Some(name)) | Source::Interface(name) => Some(name),
            Source::Nowhere | Source::Namespace(_, None) | Source::Bridge(_) => None,
        };
        let Some(name) = named else {
            let mut own: Vec<Link> = found.into_iter().filter(sends).collect();
            own.truncate(MOST_INTERFACES);
            return Ok(own);
        };
        let link = found.into_iter().find(|link| link.name == *name);
        let why = match &link {
            None => {
                "there is no such interface in the namespace of the station; `ip link` lists them"
            }
            Some(link) if !link.is_up => "it is down, or has no carrier; `ip link set NAME up`",
            Some(link) if link.mac.is_none() => "it carries no Ethernet frames; name another one",
            Some(_) => return Ok(link.into_iter().collect()),
        };
        Err(CanaryError::Interface {
            interface: name.clone(),
            why: why.to_owned(),
        })
    }

    pub(super) fn sender(&self, interface: &Link) -> Result<Sender, CanaryError> {
        let index = interface.index;
        let Some(namespace) = self.namespace() else {
            return Sender::open(index).map_err(on("open a packet socket"));
        };
        namespace
            .run(move || Sender::open(index))?
            .map_err(on("open a packet socket"))
    }

    fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Nowhere => None,
            Self::Named(namespace) => Some(namespace),
            Self::Gateway(namespace) => Some(namespace),
            Self::Own(joined) => Some(&joined.station),
        }
    }
}

/// The kernel lets a new port forward once it has noticed its carrier, which takes up to a second
/// (`linkwatch_schedule_work`).
const BEGINS_TO_FORWARD: Duration = Duration::from_millis(1200);

/// True for an interface of a station that leads to others.
fn sends(link: &Link) -> bool {
    link.is_up && link.mac.is_some() && link.kind == LinkKind::Plain && link.controller.is_none()
}

/// A veth pair: one end is a port of a bridge of the gateway, the other one is alone in a
/// namespace without a name.
pub(super) struct Joined<'a> {
    gateway: &'a Namespace,
    station: Namespace,
    port: u32,
}

impl<'a> Joined<'a> {
    fn new(gateway: &'a Namespace, bridge: &str) -> Result<Self, CanaryError> {
        let bridge = bridge_index(gateway, bridge)?;
        let station = Namespace::new()?;
        // The ends need no addresses, so they send nothing by themselves.
        let _ = station.run(|| no_ipv6("default"))?;
        let port = format!("canary{:x}", std::process::id() & 0x00ff_ffff);
        gateway
            .run(|| make_pair(&port, &station))?
            .map_err(on("make a veth pair"))?;
        let found = gateway
            .run(links)?
            .map_err(on("list the interfaces of the gateway"))?;
        let found = found.into_iter().find(|link| link.name == port);
        let index = found
            .map(|link| link.index)
            .ok_or_else(|| CanaryError::Interface {
                interface: port.clone(),
                why: "it went away by itself; try again".to_owned(),
            })?;
        let joined = Self {
            gateway,
            station,
            port: index,
        };
        let up = || {
            let _ = no_ipv6(&port);
            set_up(index, Some(bridge))
        };
        gateway.run(up)?.map_err(on("join the bridge"))?;
        joined
            .station
            .run(|| {
                let ends = links()?;
                let end = ends.iter().find(|link| link.mac.is_some());
                end.map_or(Ok(()), |end| set_up(end.index, None))
            })?
            .map_err(on("set the station up"))?;
        thread::sleep(BEGINS_TO_FORWARD);
        Ok(joined)
    }
}

impl Drop for Joined<'_> {
    /// Removes the pair at once. Without this, the kernel does so when the process ends.
    fn drop(&mut self) {
        let message = header(self.port, 0);
        let _ = self
            .gateway
            .run(|| change(NETLINK_ROUTE, RTM_DELLINK, 0, &message));
    }
}

fn bridge_index(gateway: &Namespace, name: &str) -> Result<u32, CanaryError> {
    let found = gateway
        .run(links)?
        .map_err(on("list the interfaces of the gateway"))?;
    let bridges = found.iter().filter(|link| link.kind == LinkKind::Bridge);
    let names: Vec<&str> = bridges.map(|link| link.name.as_str()).collect();
    let bridge = found
        .iter()
        .find(|link| link.name == name && link.kind == LinkKind::Bridge);
    let missing = || CanaryError::Interface {
        interface: name.to_owned(),
        why: match &names[..] {
            [] => {
                "there is no such bridge, and no other one; name a station with --station or --from"
                    .to_owned()
            }
            names => format!(
                "there is no such bridge; the bridges are {}",
                names.join(", ")
            ),
        },
    };
    bridge.map(|link| link.index).ok_or_else(missing)
}

fn make_pair(port: &str, station: &Namespace) -> io::Result<()> {
    let peer = [
        header(0, 0),
        attribute(IFLA_IFNAME, b"canary\0"),
        attribute(IFLA_NET_NS_FD, &station.number().to_ne_bytes()),
    ]
    .concat();
    let information = [
        attribute(IFLA_INFO_KIND, b"veth\0"),
        attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &peer)),
    ]
    .concat();
    let message = [
        header(0, 0),
        attribute(IFLA_IFNAME, format!("{port}\0").as_bytes()),
        attribute(IFLA_LINKINFO, &information),
    ]
    .concat();
    change(
        NETLINK_ROUTE,
        RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        &message,
    )
}

fn set_up(index: u32, bridge: Option<u32>) -> io::Result<()> {
    let mut message = header(index, IFF_UP);
    if let Some(bridge) = bridge {
        message.extend(attribute(IFLA_MASTER, &bridge.to_ne_bytes()));
    }
    change(NETLINK_ROUTE, RTM_NEWLINK, 0, &message)
}

/// `struct ifinfomsg` about an interface, with flags to set.
fn header(index: u32, flags: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    for field in [index, flags, flags] {
        header.extend(field.to_ne_bytes());
    }
    header
}

fn no_ipv6(interface: &str) -> io::Result<()> {
    let setting = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    fs::write(setting, "1")
}
