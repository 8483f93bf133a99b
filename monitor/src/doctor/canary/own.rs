//! Frames that the gateway itself sends through its interfaces towards the internet.

use std::{io, time::Instant};

use super::{
    CanaryError, FRAMES, MOST_PATHS, Run, SETTLES,
    frame::{Family, Frame},
    on,
    socket::Sender,
};
use crate::{
    doctor::{facts::Link, finding::Remark},
    policy::Role,
};

impl Run<'_> {
    /// Sends frames through each interface of the role `wan`. Says for each family whether the
    /// filter at the egress counted them, and that nothing arrived.
    pub(super) fn send_out(&self, links: &[Link]) -> Result<Vec<Remark>, CanaryError> {
        let mut remarks = Vec::new();
        let wans = self.filters.iter().filter(|one| one.role == Role::Wan);
        for wan in wans {
            let link = links.iter().find(|link| link.index == wan.index);
            let name = link.map_or(&wan.name, |link| &link.name);
            match link.filter(|link| link.is_up) {
                Some(link) => {
                    for family in Family::BOTH {
                        let number = MOST_PATHS + remarks.len();
                        let sent = self.try_to_send(link, family, number)?;
                        remarks.push(leaving(name, family, &sent));
                    }
                }
                None => remarks.push(is_down(name)),
            }
            remarks.push(arriving(name));
        }
        Ok(remarks)
    }

    fn try_to_send(&self, link: &Link, family: Family, number: usize) -> Result<Sent, CanaryError> {
        let index = link.index;
        let sender = self.gateway.run(move || Sender::open(index))?;
        let sender = sender.map_err(on("open a packet socket"))?;
        // A switch sends no frame back to the port from which it came, and another station
        // ignores the frame.
        let own = link.mac.unwrap_or_default();
        let frame = Frame {
            destination: own,
            source: own,
            tag: None,
            family,
            number: u16::try_from(number).unwrap_or(u16::MAX),
        };
        let bytes = frame.bytes(&self.target);
        let before = self.counted()?;
        // The kernel reports frames that another program dropped, too.
        let mut refused = None;
        for _ in 0..FRAMES {
            refused = sender.send(&bytes).err().or(refused);
        }
        let begin = Instant::now();
        loop {
            let counted = self.counted()?.saturating_sub(before);
            if counted >= FRAMES || begin.elapsed() > SETTLES {
                return Ok(Sent { counted, refused });
            }
            self.pause()?;
        }
    }
}

/// What became of the frames of one family.
#[derive(Debug)]
struct Sent {
    /// By how much the counter rose.
    counted: u64,
    /// Why the kernel did not send a frame.
    refused: Option<io::Error>,
}

fn leaving(name: &str, family: Family, sent: &Sent) -> Remark {
    let family = family.name();
    let counted = sent.counted;
    match &sent.refused {
        _ if counted >= FRAMES => Remark::ok(format!(
            "seen: {name}, leaving, {family}: {FRAMES} of {FRAMES} frames"
        )),
        Some(error) => Remark::unknown(
            format!("not tried: {name}, leaving, {family}"),
            format!("the kernel did not send the frames: {error}"),
            format!("`tc filter show dev {name} egress` shows programs that drop them"),
        ),
        None => Remark::blind(
            format!("not seen: {name}, leaving, {family}: {counted} of {FRAMES} frames"),
            format!(
                "the gateway sent the frames through {name}, and the filter at its egress did not count them"
            ),
            format!(
                "`tc filter show dev {name} egress` shows programs before the filter; `monitor reload` attaches the filter again"
            ),
        ),
    }
}

fn is_down(name: &str) -> Remark {
    Remark::unknown(
        format!("not tried: {name}, leaving"),
        "the interface is down, has no carrier, or is gone",
        format!("`ip link set {name} up`, or plug the cable in"),
    )
}

fn arriving(name: &str) -> Remark {
    Remark::unknown(
        format!("not tried: {name}, arriving"),
        "only a host on the internet can send packets there from an address of a policy",
        format!(
            "`monitor status` shows whether the packets `in` of {name} rise while a device gets answers"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::FindingStatus;

    #[test]
    fn frames_that_leave_are_seen_or_blind_or_not_tried() {
        let said = |counted, refused: Option<i32>| {
            let refused = refused.map(io::Error::from_raw_os_error);
            let sent = Sent { counted, refused };
            let remark = leaving("wan0", Family::Ipv6, &sent);
            (remark.status, remark.what)
        };
        let seen = "seen: wan0, leaving, IPv6: 3 of 3 frames".to_owned();
        assert_eq!(said(3, None), (FindingStatus::Ok, seen.clone()));
        // The filter comes before the program that drops them.
        let dropped = Some(libc::ENOBUFS);
        assert_eq!(said(3, dropped), (FindingStatus::Ok, seen));
        let blind = "not seen: wan0, leaving, IPv6: 1 of 3 frames".to_owned();
        assert_eq!(said(1, None), (FindingStatus::Blind, blind));
        let unknown = "not tried: wan0, leaving, IPv6".to_owned();
        assert_eq!(said(0, dropped), (FindingStatus::Unknown, unknown));
    }

    #[test]
    fn what_is_not_tried_has_a_reason_and_a_fix() {
        for remark in [is_down("wan0"), arriving("wan0")] {
            assert_eq!(remark.status, FindingStatus::Unknown);
            assert!(remark.what.starts_with("not tried: wan0, "), "{remark:?}");
            assert!(!remark.why.is_empty() && remark.fix.contains("wan0"));
        }
    }
}
