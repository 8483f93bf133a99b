//! The same filter without links for classifiers, as on kernels before 6.6.

use monitor::{policy::Direction, snapshot::Mode};

use super::world::{
    GATEWAY_MAC, STOPPED, WATCHED, World, all, ask, interface, of_device, packets, policy,
};
use crate::support::lab::{Daemon, poll, text};

/// Handle of the filter, as `tc` shows it.
const OWN: &str = "0x6d6f6e31";

fn starts(world: &World) -> Daemon {
    world.start(&["--evidence", "flows", "--egress", "clsact", "--no-watch"])
}

/// The filter is replaced in one step, goes on without a daemon, goes back from a trial, and
/// leaves the filter of another program alone.
#[test]
fn a_filter_of_clsact_does_what_a_link_does() {
    let world = World::new("clsact");
    let lab = &world.lab;
    for command in [
        "tc qdisc add dev wan0 clsact",
        "tc filter add dev wan0 egress prio 14 protocol all bpf bytecode '1,6 0 0 0,'",
    ] {
        world.inside(command);
    }
    let daemon = starts(&world);
    let found = world.snapshot();
    assert_eq!(
        interface(&found, "wan0", Direction::Out).mode,
        Some(Mode::Clsact)
    );
    assert_eq!(ask(&lab.phone, WATCHED[0], 5), 5);
    assert_eq!(ask(&lab.gateway, WATCHED[0], 5), 5);
    assert_eq!(ask(&lab.gateway, STOPPED[0], 3), 0);
    let (found, _) = world.settled();
    assert_eq!(
        packets(interface(&found, "wan0", Direction::Out).ipv4),
        (5, 3)
    );
    let own = of_device(policy(&found, "watched"), GATEWAY_MAC);
    assert_eq!(packets(own), (5, 0));
    assert_eq!(packets(policy(&found, "watched").incoming), (10, 0));
    assert_eq!(world.arrived.all(), 10);

    world.reload("count", &[]);
    assert_eq!(ask(&lab.gateway, STOPPED[0], 3), 3, "a reload");
    // One filter of each program, and the order of their priorities.
    let shown = world.filters("wan0");
    assert_eq!(shown.matches(OWN).count(), 1, "{shown}");
    assert_eq!(shown.matches("bytecode").count(), 1, "{shown}");
    assert_eq!(world.filters("wlan0").matches(OWN).count(), 1);

    world.reload("drop", &[]);
    world.reload("count", &["--confirm", "2s"]);
    daemon.kill();
    poll("the kernel goes back at the egress too", || {
        let left = world.snapshot().unconfirmed;
        left.is_some_and(|unconfirmed| unconfirmed.rolled_back)
    });
    assert_eq!(ask(&lab.gateway, STOPPED[0], 3), 0, "no daemon");

    // A new daemon finds the filter, also if another program removed it.
    let daemon = starts(&world);
    assert_eq!(world.filters("wan0").matches(OWN).count(), 1);
    daemon.kill();
    world.inside("tc filter del dev wan0 egress prio 13");
    // The packets leave. Their answers are dropped where they arrive.
    let arrived = || world.arrived.all();
    let left = arrived();
    assert_eq!(ask(&lab.gateway, STOPPED[0], 3), 0);
    assert_eq!(arrived() - left, 3, "a removed filter");
    let before = all(interface(&world.snapshot(), "wan0", Direction::Out)).packets();
    let daemon = starts(&world);
    assert_eq!(ask(&lab.gateway, STOPPED[0], 3), 0, "attached again");
    let after = all(interface(&world.snapshot(), "wan0", Direction::Out)).packets();
    assert!(after - before >= 3, "{before} before, {after} after");
    daemon.kill();

    // From another network namespace, the filter can neither be seen nor removed.
    let elsewhere = lab.monitor(&["detach"]);
    let message = text(&elsewhere.stderr);
    assert!(
        !elsewhere.status.success() && message.contains("another network namespace"),
        "{message}"
    );
    let detached = lab.monitor_inside(&["detach"]);
    assert!(detached.status.success(), "{}", text(&detached.stderr));
    assert!(!lab.pin_dir.exists());
    let shown = world.filters("wan0");
    assert!(
        !shown.contains(OWN) && shown.contains("bytecode"),
        "{shown}"
    );
    assert_eq!(ask(&lab.gateway, STOPPED[0], 3), 3, "a detach");
}
