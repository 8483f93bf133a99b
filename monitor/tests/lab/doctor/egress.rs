//! The filter where packets leave through the WAN. `doctor` finds it, finds that another program
//! removed it, and finds it attached again.

use std::{fs, path::PathBuf};

use monitor::snapshot::Mode;

use super::said::{Said, is_fine, says};
use crate::{
    directions::world::{World, egress_mode},
    support::{lab::Lab, links::detach_link},
};

const GONE: &str = "wan0 has no filter at its egress";

/// Removes the filter with a daemon and without one.
fn goes_and_comes_back(world: &World, arguments: &[&str], mode: &str, remove: impl Fn()) {
    let lab = &world.lab;
    let there = format!("wan0 is filtered at its egress too ({mode})");
    let is_there = || {
        is_fine(lab, "interface");
        let said = Said::by(lab);
        assert!(said.has("interface", "ok", &there), "{:#}", said.0);
        // The WAN has the filter, so nothing is said about a far side.
        assert!(!said.has("interface", "ok", "far side"), "{:#}", said.0);
    };
    let daemon = world.start(arguments);
    is_there();
    remove();
    says(lab, "interface", "blind", GONE);
    let said = Said::by(lab);
    let finding = said.finding(GONE).unwrap();
    let has = |key: &str, text: &str| finding[key].as_str().unwrap().contains(text);
    assert!(
        has("why", mode) && has("fix", "monitor reload"),
        "{finding:#}"
    );
    assert!(!said.has("interface", "ok", &there), "{:#}", said.0);
    assert!(lab.monitor(&["reload"]).status.success());
    is_there();

    daemon.kill();
    assert!(Said::alone(lab).has("interface", "ok", &there));
    remove();
    let said = Said::alone(lab);
    assert!(said.has("interface", "blind", GONE), "{:#}", said.0);
    let daemon = world.start(arguments);
    is_there();
    daemon.kill();
}

/// Pin of a link of an interface.
fn pin(lab: &Lab, interface: &str, hook: &str) -> PathBuf {
    let name = format!("{}{hook}", hex::encode(interface));
    lab.pin_dir.join("links").join(name)
}

#[test]
fn a_removed_filter_of_clsact_is_told_until_it_is_attached_again() {
    let world = World::new("doctor-clsact");
    let arguments = ["--egress", "clsact", "--no-watch"];
    goes_and_comes_back(&world, &arguments, "clsact", || {
        world.inside("tc filter del dev wan0 egress prio 13");
    });
    // At the LAN, the filter adds answers to the flows of devices.
    let lab = &world.lab;
    let _daemon = world.start(&arguments);
    is_fine(lab, "interface");
    world.inside("tc filter del dev wlan0 egress prio 13");
    let what = "wlan0 has no filter at its egress";
    says(lab, "interface", "degraded", what);
    assert!(lab.monitor(&["reload"]).status.success());
    is_fine(lab, "interface");
}

#[test]
fn a_detached_link_is_told_until_it_is_attached_again() {
    let world = World::new("doctor-links");
    let lab = &world.lab;
    if egress_mode() == Mode::Tcx {
        goes_and_comes_back(&world, &["--no-watch"], "TCX", || {
            detach_link(&pin(lab, "wan0", "_egress"));
        });
        // The link ends with its last pin.
        fs::remove_file(pin(lab, "wan0", "_egress")).unwrap();
        let said = Said::alone(lab);
        assert!(said.has("interface", "blind", GONE), "{:#}", said.0);
    }
    let daemon = world.start(&["--no-watch"]);
    is_fine(lab, "interface");
    daemon.kill();
    detach_link(&pin(lab, "wan0", ""));
    let said = Said::alone(lab);
    let lost = said.has("interface", "blind", "wan0 has lost its filter");
    assert!(lost, "{:#}", said.0);
    let _daemon = world.start(&["--no-watch"]);
    is_fine(lab, "interface");
}
