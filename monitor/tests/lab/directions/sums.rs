//! Sums of packets and bytes, and their comparison with the sums of the kernel.

use monitor::{
    policy::Direction,
    snapshot::{Count, Snapshot, Verdicts},
};

use super::world::{all, frames, interface};

pub(crate) fn sum(counts: impl IntoIterator<Item = Count>) -> Count {
    let mut sum = Count::default();
    for count in counts {
        sum += count;
    }
    sum
}

/// Frames from or to the addresses of both families, the same number of each.
pub(crate) fn both(addresses: [&str; 2], packets: u64, payload: usize) -> Count {
    sum(addresses.map(|address| frames(address, packets, payload)))
}

pub(crate) fn passed(passed: Count) -> Verdicts {
    Verdicts {
        passed,
        ..Verdicts::default()
    }
}

pub(crate) fn dropped(dropped: Count) -> Verdicts {
    Verdicts {
        dropped,
        ..Verdicts::default()
    }
}

/// Asserts that the sums of all packets between two moments are those of the kernel. The kernel
/// counts an arriving packet before the filter drops it, and counts a leaving packet only if
/// the filter passes it. `forwarded` are the packets that the gateway forwarded to the internet.
pub(crate) fn agree_with_the_kernel(
    start: &(Snapshot, [Count; 3]),
    end: &(Snapshot, [Count; 3]),
    forwarded: Count,
) {
    let counted = |name, direction| {
        let [now, then] = [end, start].map(|(at, _)| all(interface(at, name, direction)));
        Verdicts {
            passed: difference(now.passed, then.passed),
            dropped: difference(now.dropped, then.dropped),
        }
    };
    let [lan_rx, wan_rx, wan_tx] = [0, 1, 2].map(|index| difference(end.1[index], start.1[index]));
    let whole = |verdicts: Verdicts| sum([verdicts.passed, verdicts.dropped]);
    assert_eq!(lan_rx, whole(counted("wlan0", Direction::Out)));
    assert_eq!(wan_rx, whole(counted("wan0", Direction::In)));
    let own = counted("wan0", Direction::Out);
    assert_eq!(wan_tx, sum([forwarded, own.passed]));
}

fn difference(now: Count, then: Count) -> Count {
    Count {
        packets: now.packets - then.packets,
        bytes: now.bytes - then.bytes,
    }
}
