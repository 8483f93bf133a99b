//! Scopes: which entries of a match set apply to a packet.

use aya_ebpf::maps::{LpmTrie, lpm_trie::Key};
use monitor_common::{
    MAX_COVERING_POLICIES, MatchSet, NEEDS_MAC, NEEDS_SCOPES, NEEDS_SERVICE, NEEDS_SOURCE,
    NO_CLASS, ScopeWord,
};

use crate::{
    direction::is_in,
    flow,
    frame::Frame,
    hook::shows_device,
    maps::{
        CLASS_WORDS, CLASSES, INTERFACE_CLASS, LONGEST_SET, MACS, NEEDS, NO_SERVICE_CLASS,
        SERVICES, SOURCES_V4, SOURCES_V6,
    },
    parse::{Destination, Packet},
    service::{Kind, Service},
};

/// The four classes of a packet, see `monitor_common::ScopeWord`.
struct Classes {
    mac: u32,
    source: u32,
    service: u32,
    interface: u32,
    /// The service of the packet cannot be read.
    unreadable: bool,
}

/// A mask of the entries of `set` that apply to `packet`. `service`, [`Service::to_bits`], is
/// ignored unless the set needs it.
#[inline(always)]
pub(crate) fn applying(frame: &Frame, packet: &Packet, set: &MatchSet, service: u64) -> u32 {
    // `NEEDS` is a constant for the verifier, which removes the code of needs that no
    // match set has.
    let needs = set.needs & NEEDS.load();
    let mut mask = set.unscoped;
    if needs & NEEDS_SCOPES == 0 {
        return mask;
    }
    let classes = classes(frame, packet, service, needs);
    // A drop by service also stops a packet whose service cannot be read. An allow
    // does not exempt such a packet, and a count does not count it.
    let any_service = if classes.unreadable { set.drops } else { 0 };
    for index in 0..MAX_COVERING_POLICIES {
        if index >= LONGEST_SET.load() as usize || index >= set.len as usize {
            break;
        }
        let scope = set.entries[index].scope;
        // Where the frame does not show the device, an allow of some devices applies to every
        // packet, because answers to those devices must pass.
        let any_device = if shows_device() {
            0
        } else {
            set.allows >> index & 1
        };
        // No branch on the result: the verifier would examine each combination of
        // results separately.
        mask |= meets(&classes, scope, any_service >> index & 1, any_device) << index;
    }
    mask
}

/// 1 if the packet meets the scope, else 0. If `any_service` is 1, the services of the
/// scope are ignored; if `any_device` is 1, the devices and interfaces.
#[inline(always)]
fn meets(classes: &Classes, scope: u16, any_service: u32, any_device: u32) -> u32 {
    let mac = word(classes.mac, scope);
    let source = word(classes.source, scope);
    let service = word(classes.service, scope);
    let interface = word(classes.interface, scope);
    let within = mac.within | source.within | interface.within | 0_u32.wrapping_sub(any_device);
    // All bits are 1 if `any_service` is 0.
    let services = any_service.wrapping_sub(1);
    let except = mac.except | source.except | service.except & services | interface.except;
    (within & !except) >> (scope % 32) & 1
}

#[inline(always)]
fn word(class: u32, scope: u16) -> ScopeWord {
    let index = class * CLASS_WORDS.load() + u32::from(scope / 32);
    match CLASSES.get(index) {
        Some(word) => *word,
        None => ScopeWord {
            within: 0,
            except: 0,
        },
    }
}

/// The classes of a packet. A class that is not in `needs` keeps its default, which is
/// neutral for every scope of the match set.
#[inline(always)]
fn classes(frame: &Frame, packet: &Packet, service: u64, needs: u32) -> Classes {
    let mut classes = Classes {
        mac: NO_CLASS,
        source: NO_CLASS,
        service: NO_SERVICE_CLASS.load(),
        interface: INTERFACE_CLASS.load(),
        unreadable: false,
    };
    if needs & NEEDS_MAC != 0 {
        let [mac @ .., _, _] = flow::device_mac(frame).to_ne_bytes();
        classes.mac = class(&MACS, mac).unwrap_or(NO_CLASS);
    }
    if needs & NEEDS_SOURCE != 0 {
        classes.source = source_class(frame, packet).unwrap_or(NO_CLASS);
    }
    if needs & NEEDS_SERVICE != 0 {
        match Service::from_bits(service).kind() {
            Kind::Known(key) => {
                if let Some(class) = class(&SERVICES, key) {
                    classes.service = class;
                }
            }
            Kind::Without => {}
            Kind::Unreadable => classes.unreadable = true,
        }
    }
    classes
}

#[inline(always)]
fn source_class(frame: &Frame, packet: &Packet) -> Option<u32> {
    // Offsets of the device's address: the source of packets `out`, the destination of
    // packets `in`.
    let (ipv4, ipv6) = if is_in() { (16, 24) } else { (12, 8) };
    match packet.destination {
        Destination::Ipv4(_) => class(&SOURCES_V4, frame.bytes(packet.network + ipv4)?),
        Destination::Ipv6(_) => class(&SOURCES_V6, frame.bytes(packet.network + ipv6)?),
    }
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a key has at most 16 bytes"
)]
fn class<const N: usize>(trie: &LpmTrie<[u8; N], u32>, key: [u8; N]) -> Option<u32> {
    trie.get(&Key::new(N as u32 * u8::BITS, key)).copied()
}
