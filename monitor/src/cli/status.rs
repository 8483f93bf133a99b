//! `monitor status`: shows what the filter saw and did.

use std::fmt::Write as _;

use super::{Common, ReachArgs, feed, print, print_json, table};
use monitor::{
    clock::to_the_second,
    control::{Check, DaemonStatus, Endpoint, Resting, Status},
    printable,
    snapshot::{
        Count, EffectiveSnapshot, EvidenceFailure, EvidenceSnapshot, InterfaceSnapshot,
        PolicySnapshot, Snapshot, Verdicts, Working,
    },
    state_dir::Edge,
};

/// Prints what the filter saw and did.
pub(super) fn run(common: &Common, args: &ReachArgs) -> anyhow::Result<()> {
    let status = args.reach_or_read(common)?.status()?;
    if common.json {
        print_json(&status)
    } else {
        print(&render(&status))
    }
}

fn render(status: &Status) -> String {
    let mut text = String::new();
    head(&mut text, status);
    if let Some(unconfirmed) = &status.snapshot.unconfirmed {
        let _ = writeln!(text, "in force   {unconfirmed}");
    }
    interfaces(&mut text, &status.snapshot);
    policies(&mut text, &status.snapshot);
    if let Some(evidence) = &status.snapshot.evidence {
        evidence_lines(&mut text, evidence);
    }
    if !status.snapshot.feeds.is_empty() {
        let _ = writeln!(
            text,
            "\n{}",
            feed::render(&status.snapshot.feeds).trim_end()
        );
    }
    devices(&mut text, &status.snapshot);
    text
}

fn head(text: &mut String, status: &Status) {
    match &status.daemon {
        Some(daemon) => daemon_lines(text, daemon, &status.snapshot),
        None => no_daemon_lines(text, status),
    }
}

fn daemon_lines(text: &mut String, daemon: &DaemonStatus, snapshot: &Snapshot) {
    let DaemonStatus {
        pid,
        version,
        endpoints,
        resting,
        risks,
        changes,
        capture,
        waiting,
        left_out,
        ..
    } = daemon;
    let _ = writeln!(text, "daemon     process {pid}, version {version}");
    for endpoint in endpoints {
        endpoint_line(text, endpoint);
    }
    policies_line(text, snapshot);
    for interface in waiting {
        let _ = writeln!(text, "WAITING    {}", printable::block(&interface.why));
    }
    for interface in left_out {
        let _ = writeln!(text, "left out   {}", printable::block(&interface.why));
    }
    for change in changes {
        let _ = writeln!(text, "by command {change}");
    }
    if let Some(capture) = capture {
        let _ = writeln!(text, "by command {capture}");
    }
    for Resting {
        policy,
        reason,
        until,
    } in resting
    {
        let until = until
            .as_ref()
            .map_or_else(String::new, |at| format!(", until {at}"));
        let _ = writeln!(text, "resting    {policy}: {reason}{until}");
    }
    for risk in risks {
        let _ = writeln!(
            text,
            "RISK       {} ({}): the policy stays in force, but the next reload is refused\n           {}",
            printable::value(&risk.message),
            risk.source,
            printable::value(&risk.help)
        );
    }
}

fn endpoint_line(text: &mut String, endpoint: &Endpoint) {
    let address = &endpoint.address;
    let _ = match (&endpoint.error, endpoint.serving) {
        (_, true) => writeln!(text, "metrics    {address}"),
        (Some(error), false) => writeln!(text, "metrics    NOT SERVED at {address}: {error}"),
        (None, false) => writeln!(text, "metrics    not served yet at {address}"),
    };
}

/// Says whether the policy files are in force, or which work is still under way.
fn policies_line(text: &mut String, snapshot: &Snapshot) {
    let error = snapshot
        .reload
        .as_ref()
        .and_then(|reload| reload.error.as_ref());
    let is_long = |working: &&Working| working.seconds > 0;
    let _ = match (snapshot.working.as_ref().filter(is_long), error) {
        (Some(working), _) if working.hangs() => writeln!(
            text,
            "HANGS      {working}: what stands below is in force, but changes have no effect; start the daemon again"
        ),
        (Some(working), _) => writeln!(
            text,
            "policies   {working}: what stands below is in force until it ends"
        ),
        (None, Some(error)) => writeln!(
            text,
            "policies   NOT LOADED, what stands below is in force:\n{}",
            error.trim_end()
        ),
        (None, None) => writeln!(text, "policies   loaded, as the files are now"),
    };
}

fn no_daemon_lines(text: &mut String, status: &Status) {
    if let Some(Check { what, why, fix, .. }) = status.checks.first() {
        let _ = writeln!(
            text,
            "daemon     NO ANSWER: {what}\n           {why}\n           {fix}"
        );
        let _ = writeln!(
            text,
            "           The counters below are read from the kernel."
        );
    } else {
        let _ = writeln!(
            text,
            "daemon     none runs; the counters below are read from the kernel, and changed files have no effect"
        );
    }
    for Edge { at, policy, until } in &status.missed_edges {
        let at = to_the_second(*at);
        let _ = writeln!(
            text,
            "MISSED     {policy}: due to change at {at}, but no daemon ran; still in force: {until}"
        );
    }
}

fn interfaces(text: &mut String, snapshot: &Snapshot) {
    let mut rows = table(&[
        "interface",
        "direction",
        "filter",
        "generation",
        "passed v4",
        "passed v6",
        "dropped v4",
        "dropped v6",
        "unparsed passed",
        "unparsed dropped",
    ]);
    for interface in &snapshot.interfaces {
        rows.add_row(interface_row(interface));
    }
    let _ = writeln!(text, "\n{rows}");
    for interface in &snapshot.interfaces {
        if interface.not_confirmed.packets > 0 {
            let _ = writeln!(
                text,
                "not confirmed on {}: {} passed, because the policies were not confirmed and none were in force before",
                printable::value(&interface.name),
                interface.not_confirmed.packets
            );
        }
        let reasons: Vec<_> = interface
            .unparsed
            .iter()
            .filter(|(_, verdicts)| verdicts.packets() > 0)
            .map(|(reason, verdicts)| {
                let (passed, dropped) = (verdicts.passed.packets, verdicts.dropped.packets);
                format!("{reason} {passed} passed, {dropped} dropped")
            })
            .collect();
        if interface.answers.packets() > 0 {
            let _ = writeln!(
                text,
                "rejected on {}: {}",
                printable::value(&interface.name),
                interface.answers
            );
        }
        if !reasons.is_empty() {
            let _ = writeln!(
                text,
                "unparsed on {}: {}",
                printable::value(&interface.name),
                reasons.join("; ")
            );
        }
    }
}

fn interface_row(interface: &InterfaceSnapshot) -> [String; 10] {
    let unparsed = interface.unparsed_sum();
    [
        printable::value(&interface.name).into_owned(),
        interface.direction.word().to_owned(),
        match (interface.mode, interface.frags) {
            (None, _) => "not attached".to_owned(),
            (Some(mode), false) => mode.name().to_owned(),
            (Some(mode), true) => format!("{}, frags", mode.name()),
        },
        interface
            .generation
            .map_or_else(|| "-".to_owned(), |number| number.to_string()),
        interface.ipv4.passed.packets.to_string(),
        interface.ipv6.passed.packets.to_string(),
        interface.ipv4.dropped.packets.to_string(),
        interface.ipv6.dropped.packets.to_string(),
        unparsed.passed.packets.to_string(),
        unparsed.dropped.packets.to_string(),
    ]
}

fn policies(text: &mut String, snapshot: &Snapshot) {
    let mut rows = table(&[
        "policy",
        "action",
        "prefixes v4/v6",
        "passed",
        "dropped",
        "bytes",
        "devices",
    ]);
    for policy in &snapshot.policies {
        rows.add_row(policy_row(policy));
    }
    let _ = writeln!(text, "\n{rows}");
}

/// What is in flows, what is not, and where DNS answers are copied.
fn evidence_lines(text: &mut String, evidence: &EvidenceSnapshot) {
    let sum = |part: fn(&EffectiveSnapshot) -> &Verdicts| {
        let policies = evidence.effective.iter();
        policies.map(|policy| part(policy).packets()).sum::<u64>()
    };
    let all = sum(|policy| &policy.packets);
    let (full, setting) = (sum(|policy| &policy.full), sum(|policy| &policy.setting));
    let _ = write!(
        text,
        "\nflows      {} packets recorded",
        all - full - setting
    );
    for (packets, why) in [
        (full, "found no room"),
        (setting, "not recorded by the policies' setting"),
    ] {
        if packets > 0 {
            let _ = write!(text, ", {packets} {why}");
        }
    }
    let _ = writeln!(text, "; `monitor flows` shows them");
    if let Some(contacts) = evidence.first_contacts {
        let _ = writeln!(
            text,
            "events     first contacts in the last 24 hours: {contacts}; `monitor events` shows them"
        );
    }
    for (lost, what) in [
        (evidence.lost_samples, "packets were not searched for names"),
        (
            evidence.lost_events,
            "new flows were not announced to the daemon",
        ),
    ] {
        if lost > 0 {
            let _ = writeln!(text, "lost       {lost} {what}");
        }
    }
    if !evidence.dns_copied.is_empty() {
        let interfaces = evidence.dns_copied.join(", ");
        let _ = writeln!(
            text,
            "names      also from DNS answers that leave through {interfaces}"
        );
    }
    if let Some(EvidenceFailure { error, since }) = &evidence.failure {
        let _ = writeln!(
            text,
            "NOT STORED since {since}: {}\n           the kernel keeps the flows while it has room",
            printable::value(error)
        );
    }
}

fn policy_row(policy: &PolicySnapshot) -> [String; 7] {
    let Verdicts { passed, dropped } = policy.matched;
    [
        policy.name.clone(),
        policy
            .action
            .map_or("(not in force)", |action| action.name())
            .to_owned(),
        format!("{}/{}", policy.prefixes.v4, policy.prefixes.v6),
        passed.packets.to_string(),
        dropped.packets.to_string(),
        (passed.bytes + dropped.bytes).to_string(),
        policy.devices.len().to_string(),
    ]
}

fn devices(text: &mut String, snapshot: &Snapshot) {
    let mut rows = table(&[
        "device (source MAC)",
        "policy",
        "passed",
        "dropped",
        "bytes",
    ]);
    let mut any = false;
    for policy in &snapshot.policies {
        for device in &policy.devices {
            let mac = device.mac;
            let shown = match &device.name {
                Some(name) => format!("{mac} ({name})"),
                None => mac.to_string(),
            };
            rows.add_row(device_row(&shown, policy, device.matched));
            any = true;
        }
        if policy.other != Verdicts::default() {
            rows.add_row(device_row("other (table full)", policy, policy.other));
            any = true;
        }
        if policy.past != Verdicts::default() {
            rows.add_row(device_row("past (forgotten)", policy, policy.past));
            any = true;
        }
    }
    if any {
        let _ = writeln!(
            text,
            "\n{rows}\nA MAC is the last hop: a repeater or a router may hide several devices."
        );
    }
}

fn device_row(device: &str, policy: &PolicySnapshot, matched: Verdicts) -> [String; 5] {
    let Verdicts { passed, dropped } = matched;
    let bytes = |count: Count| count.bytes;
    [
        device.to_owned(),
        policy.name.clone(),
        passed.packets.to_string(),
        dropped.packets.to_string(),
        (bytes(passed) + bytes(dropped)).to_string(),
    ]
}
