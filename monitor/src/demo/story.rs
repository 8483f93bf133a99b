//! The story of 2014 in seconds: a phone contacts the reported range in four ways. Its owner
//! turns the cloud backup off, and reflashes it twice. Another phone does what it always did.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::demo::contacts::{BACKUP, BARE, Contact, NEWS, PUSH, STATISTICS};
use crate::demo::namespace::Namespace;
use crate::demo::process::output;
use crate::demo::topology::{
    OTHER_ADDRESS, OTHER_MAC, PHONE_ADDRESS, PHONE_MAC, REFLASHED_ADDRESS, REFLASHED_MAC, Topology,
};
use crate::demo::traffic::{LONG, SHORT};
use crate::demo::{daemon, go_on, lease, verbs, waited};

/// Time for a person to read a line.
const READ: Duration = Duration::from_millis(350);
/// On a busy machine, the kernel checks the program for DNS answers for many seconds.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A part of the story.
struct Scene {
    title: &'static str,
    /// What the phone contacts.
    phone: &'static [Contact],
    /// The mark at its end.
    then: Option<Then>,
}

/// A mark of the operator, and what happens to the phone.
struct Then {
    text: &'static str,
    /// Options of `monitor mark`.
    options: &'static [&'static str],
    event: Event,
}

/// What happens to the phone.
enum Event {
    /// Its traffic changes, nothing else.
    Setting,
    /// It has another system, which states another host name.
    SameMac,
    /// It has another system and another MAC.
    OtherMac,
}

/// What the phone contacts after its last change.
const AT_LAST: &[Contact] = &[PUSH, BARE];

/// Host names that the phone states: as bought, and with the other system.
const HOST_NAMES: [&str; 2] = ["Redmi-Note", "reflashed"];

const SCENES: [Scene; 4] = [
    Scene {
        title: "1. The phone as bought. Its cloud backup is on.",
        phone: &[PUSH, BACKUP, STATISTICS, BARE],
        then: Some(Then {
            text: "cloud backup off",
            options: &[
                "--kind",
                "setting-changed",
                "--device",
                PHONE_MAC,
                "--model",
                "Redmi Note",
                "--firmware",
                "as bought",
            ],
            event: Event::Setting,
        }),
    },
    Scene {
        title: "2. The cloud backup is off.",
        phone: &[PUSH, STATISTICS, BARE],
        then: Some(Then {
            text: "reflashed",
            options: &[
                "--kind",
                "reflashed",
                "--device",
                PHONE_MAC,
                "--firmware",
                "another build",
            ],
            event: Event::SameMac,
        }),
    },
    Scene {
        title: "3. Another system on the same phone, with the same MAC.",
        phone: AT_LAST,
        then: Some(Then {
            text: "reflashed, new MAC",
            options: &[
                "--kind",
                "reflashed",
                "--device",
                REFLASHED_MAC,
                "--firmware",
                "a third build",
            ],
            event: Event::OtherMac,
        }),
    },
    Scene {
        title: "4. Reflashed again. The phone has another MAC.",
        phone: AT_LAST,
        then: None,
    },
];

/// The phones get their leases, as when they join the WiFi.
pub(crate) fn join(topology: &Topology) -> Result<()> {
    let [as_bought, _] = HOST_NAMES;
    let phones = [
        (&topology.phone, PHONE_MAC, as_bought, PHONE_ADDRESS),
        (&topology.other, OTHER_MAC, "Fairphone", OTHER_ADDRESS),
    ];
    for (phone, mac, host_name, address) in phones {
        let leased = lease::get(phone, mac, host_name)?;
        ensure!(leased == address, "{host_name} got {leased}, not {address}");
    }
    Ok(())
}

/// Plays the story, if `is_slow` slowly enough to read.
pub(crate) fn tell(
    monitor: &Path,
    topology: &Topology,
    stop: &AtomicBool,
    is_slow: bool,
) -> Result<()> {
    wait_for_dns_copies(monitor, topology)?;
    let pause = || is_slow && waited(stop, READ);
    for scene in &SCENES {
        println!("\n{}", scene.title);
        let phone = scene.phone.iter();
        let phone = phone.map(|contact| (&topology.phone, "phone", contact));
        for (from, who, contact) in phone.chain([(&topology.other, "other phone", &NEWS)]) {
            go_on(stop)?;
            show(from, who, contact)?;
            pause();
        }
        go_on(stop)?;
        if let Some(then) = &scene.then {
            println!();
            let words: Vec<&str> = ["mark", then.text]
                .into_iter()
                .chain(then.options.iter().copied())
                .collect();
            verbs::show(monitor, topology, &words)?;
            then.event.happen(topology)?;
            pause();
        }
    }
    Ok(())
}

/// The contacts of the end of the story once more. Returns those without an answer.
pub(crate) fn go_on_living(topology: &Topology) -> Result<Vec<Contact>> {
    let phone = AT_LAST.iter().map(|one| (&topology.phone, one));
    let mut silent = Vec::new();
    for (from, contact) in phone.chain([(&topology.other, &NEWS)]) {
        if !contact.make(from, SHORT)? {
            silent.push(*contact);
        }
    }
    Ok(silent)
}

fn show(from: &Namespace, who: &str, contact: &Contact) -> Result<()> {
    let answer = if contact.make(from, LONG)? {
        "answered"
    } else {
        "no answer"
    };
    println!(
        "   {who:<11}  {:<28} {:<12} {:<8} {answer}",
        contact.words(),
        contact.address,
        contact.service(),
    );
    Ok(())
}

impl Event {
    fn happen(&self, topology: &Topology) -> Result<()> {
        let [_, reflashed] = HOST_NAMES;
        let (mac, address) = match self {
            Self::Setting => return Ok(()),
            Self::SameMac => (PHONE_MAC, PHONE_ADDRESS),
            Self::OtherMac => {
                topology.change_mac()?;
                (REFLASHED_MAC, REFLASHED_ADDRESS)
            }
        };
        let leased = lease::get(&topology.phone, mac, reflashed)?;
        ensure!(leased == address, "{reflashed} got {leased}, not {address}");
        Ok(())
    }
}

/// Waits until the daemon copies DNS answers, so that it sees the first one.
fn wait_for_dns_copies(monitor: &Path, topology: &Topology) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let status: Value =
            serde_json::from_str(&output(daemon::status(monitor, topology).arg("--json"))?)?;
        if status["evidence"]["dns_copied"][0] == "wlan0" {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "the daemon copies no DNS answers after {READY_WITHIN:?}: {}",
                status["checks"]
            );
        }
        thread::sleep(POLL);
    }
}
