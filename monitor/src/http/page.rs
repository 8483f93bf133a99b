//! The page for people: the same numbers as the metrics, with explanations.

use std::{
    cmp::Reverse,
    time::{Duration, UNIX_EPOCH},
};

use bytesize::ByteSize;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Health;
use crate::{
    metrics::{DeviceLabels, OTHER_DEVICES, PAST_DEVICES},
    policy::{Action, Direction, Strength},
    printable,
    snapshot::{
        Count, FeedSnapshot, FeedState, InterfaceSnapshot, PolicySnapshot, ReloadSnapshot,
        Snapshot, Unconfirmed, Verdicts,
    },
};

/// Seconds after which a browser loads the page again.
const REFRESH: u32 = 30;

/// The number of devices that the page shows for each policy. The metrics show all
/// devices that have a label.
const DEVICES_SHOWN: usize = 25;

/// Renders the whole page as HTML. The template escapes every value.
pub(super) fn render(snapshot: &Snapshot, health: &Health, labels: &DeviceLabels) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(REFRESH);
                title { "monitor" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                main {
                    (heading(health))
                    (reload(snapshot.reload.as_ref()))
                    (unconfirmed(snapshot.unconfirmed.as_ref()))
                    (interfaces(&snapshot.interfaces))
                    (policies(&snapshot.policies))
                    (feeds(&snapshot.feeds))
                    (devices(snapshot, labels))
                    (meanings())
                }
            }
        }
    };
    printable::text(&page.into_string()).into_owned()
}

fn heading(health: &Health) -> Markup {
    html! {
        header {
            h1 { "monitor" }
            @if health.is_ok() {
                span.state.good { "The filter is in force." }
            } @else if health.problems.is_empty() {
                span.state.bad { "The daemon hangs." }
            } @else {
                span.state.bad { "The filter is not in force everywhere." }
            }
            nav { a href="/metrics" { "metrics" } a href="/healthz" { "health" } }
        }
        @if !health.is_ok() {
            section { ul { @for problem in health.hang.iter().chain(&health.problems) { li.bad { (problem) } } } }
        }
    }
}

fn interfaces(interfaces: &[InterfaceSnapshot]) -> Markup {
    html! {
        section {
            h2 { "Interfaces" }
            @if interfaces.is_empty() {
                p.soft { "No interface has been filtered yet." }
            } @else {
                (table(&["Interface", "Filter", "IPv4 passed", "IPv4 dropped", "IPv6 passed", "IPv6 dropped", "Unparsed, passed", "Unparsed, dropped"], 2, &html! {
                    @for interface in interfaces { (interface_row(interface)) }
                }))
            }
        }
    }
}

fn interface_row(interface: &InterfaceSnapshot) -> Markup {
    html! {
        tr {
            th scope="row" { (interface.name) @if interface.direction == Direction::In { small { "packets in" } } }
            td {
                @match interface.mode {
                    Some(mode) => { "attached, " (mode.name()) }
                    None => { span.bad { "not attached" } }
                }
                @if interface.not_confirmed.packets > 0 { small.bad { (thousands(interface.not_confirmed.packets)) " passed, not confirmed" } }
                @if interface.answers.packets() > 0 { small { "rejected: " (interface.answers) } }
                small {
                    @match interface.generation {
                        Some(generation) => { "generation " (generation) }
                        None => { "no generation" }
                    }
                }
            }
            (count(interface.ipv4.passed)) (count(interface.ipv4.dropped))
            (count(interface.ipv6.passed)) (count(interface.ipv6.dropped))
            (unparsed(&interface.unparsed, |verdicts| verdicts.passed))
            (unparsed(&interface.unparsed, |verdicts| verdicts.dropped))
        }
    }
}

/// Renders a table cell: the number of unparsed frames with one verdict, in total
/// and by reason.
fn unparsed(reasons: &[(String, Verdicts)], of: impl Fn(&Verdicts) -> Count) -> Markup {
    let counts = reasons
        .iter()
        .map(|(reason, verdicts)| (reason, of(verdicts).packets));
    let sum: u64 = counts.clone().map(|(_, packets)| packets).sum();
    html! {
        td.number.zero[sum == 0] {
            (thousands(sum))
            @for (reason, packets) in counts.filter(|(_, packets)| *packets > 0) {
                small { (reason) " " (thousands(packets)) }
            }
        }
    }
}

fn policies(policies: &[PolicySnapshot]) -> Markup {
    html! {
        section {
            h2 { "Policies" }
            @if policies.is_empty() {
                p.soft { "No policy has been loaded yet." }
            } @else {
                (table(&["Policy", "Action", "Prefixes", "Matched, passed", "Matched, dropped"], 3, &html! {
                    @for policy in policies { (policy_row(policy)) }
                }))
            }
        }
    }
}

fn policy_row(policy: &PolicySnapshot) -> Markup {
    html! {
        tr {
            th scope="row" { (policy.name) }
            @if let Some(action) = policy.action {
                td { span.state.(action_class(action)) { (action.name()) } }
                td {
                    (thousands(policy.prefixes.v4 as u64)) " IPv4"
                    br;
                    (thousands(policy.prefixes.v6 as u64)) " IPv6"
                }
            } @else {
                td.soft { "no longer in force" }
                td {}
            }
            (verdicts(&policy.matched))
        }
    }
}

fn feeds(feeds: &[FeedSnapshot]) -> Markup {
    html! {
        @if !feeds.is_empty() {
            section {
                h2 { "Feeds" }
                (table(&["Feed", "Policies", "State", "Last found current", "Next try", "Destinations", "Cut out"], 5, &html! {
                    @for feed in feeds { (feed_row(feed)) }
                }))
            }
        }
    }
}

fn feed_row(feed: &FeedSnapshot) -> Markup {
    let class = match feed.state {
        FeedState::Current => "good",
        FeedState::NeverFetched => "warn",
        FeedState::Refused | FeedState::Failed => "bad",
    };
    html! {
        tr {
            th scope="row" { (feed.feed) }
            td { (feed.policies.join(", ")) }
            td { span.state.(class) { (feed.state.name()) } }
            td {
                @match (feed.age, feed.checked_at) {
                    (Some(age), Some(at)) => { (humantime::format_duration(Duration::from_secs(age))) " ago" small { (time(at)) } }
                    _ => { span.bad { "no version of it is in force" } }
                }
            }
            td { @if let Some(at) = feed.next_attempt { (time(at)) } }
            td.number { (thousands(feed.destinations as u64)) }
            td.number.zero[feed.cut == 0] { (thousands(feed.cut as u64)) }
        }
        @if let Some(reason) = &feed.reason { tr.reason { td colspan="7" { (reason) } } }
    }
}

fn devices(snapshot: &Snapshot, labels: &DeviceLabels) -> Markup {
    let seen = |policy: &&PolicySnapshot| policy.matched != Verdicts::default();
    html! {
        section.devices {
            h2 { "Devices" }
            @if !snapshot.policies.iter().any(|policy| seen(&policy)) {
                p.soft { "No policy has matched any of the " (thousands(packets_seen(&snapshot.interfaces))) " packets that the filter saw." }
            }
            @for policy in snapshot.policies.iter().filter(seen) {
                h3 { (policy.name) }
                (table(&["Device", "Matched, passed", "Matched, dropped"], 1, &device_rows(policy, labels)))
            }
        }
    }
}

fn packets_seen(interfaces: &[InterfaceSnapshot]) -> u64 {
    let seen = |i: &InterfaceSnapshot| {
        i.ipv4.packets() + i.ipv6.packets() + i.unparsed_sum().packets() + i.not_confirmed.packets
    };
    interfaces.iter().map(seen).sum()
}

fn device_rows(policy: &PolicySnapshot, labels: &DeviceLabels) -> Markup {
    let counts = labels.counts(policy);
    let mut devices: Vec<_> = counts.labelled.iter().collect();
    let packets = |verdicts: &Verdicts| verdicts.passed.packets + verdicts.dropped.packets;
    devices.sort_by_key(|(label, verdicts)| (Reverse(packets(verdicts)), *label));
    let (shown, rest) = devices.split_at(devices.len().min(DEVICES_SHOWN));
    html! {
        @for (label, counts) in shown {
            tr {
                th scope="row" {
                    (label)
                    @if let Some(mac) = labels.mac_beside(label) { small { (mac) } }
                }
                (verdicts(counts))
            }
        }
        @if !rest.is_empty() {
            tr { td.soft colspan="3" { (thousands(rest.len() as u64)) " more with fewer packets: see the " a href="/metrics" { "metrics" } } }
        }
        @if counts.other != Verdicts::default() {
            tr { th.soft scope="row" { (OTHER_DEVICES) small { "devices without a label of their own" } } (verdicts(&counts.other)) }
        }
        @if counts.past != Verdicts::default() {
            tr { th.soft scope="row" { (PAST_DEVICES) small { "devices that were forgotten" } } (verdicts(&counts.past)) }
        }
    }
}

fn reload(reload: Option<&ReloadSnapshot>) -> Markup {
    html! {
        section {
            h2 { "Last reload" }
            p {
                @match reload {
                    Some(ReloadSnapshot { success: true, timestamp, .. }) => { span.state.good { "The policy files are in force" } ", loaded " (time(*timestamp)) "." }
                    None => { span.state.warn { "The policy files have not been loaded yet." } }
                    Some(ReloadSnapshot { success: false, timestamp, .. }) => { span.state.bad { "Failed" } " at " (time(*timestamp)) ": the previous policies stay in force." }
                }
            }
            @if let Some(error) = reload.and_then(|reload| reload.error.as_ref()) { pre { (error.trim_end()) } }
        }
    }
}

fn unconfirmed(unconfirmed: Option<&Unconfirmed>) -> Markup {
    html! {
        @if let Some(unconfirmed) = unconfirmed {
            section {
                h2 { "To be confirmed" }
                p { span.state.(if unconfirmed.rolled_back { "bad" } else { "warn" }) { (unconfirmed) } }
            }
        }
    }
}

fn meanings() -> Markup {
    html! {
        section {
            h2 { "What the numbers mean" }
            dl {
                dt { "Since when" }
                dd { "Counts are totals since the counters were created. Reloads and restarts of the daemon do not reset them." }
                dt { "Packet" }
                dd { "One run of the filter program. In generic mode, several packets that the kernel merged (GRO) count as one packet with the merged length. The filter does not see frames that the kernel dropped before it." }
                dt { "Passed, dropped" }
                dd { "The verdict: what happened to the packet. It can differ from the action of the policy, because another policy may decide. A dropped packet is an attempt: devices retry, so the number does not tell how much they would have sent." }
                dt { "Matched" }
                dd { "Every policy that matches a packet counts it, so the sum over all policies can be more than the number of packets. An allow that matches decides, otherwise a drop, whichever policies they are in." }
                dt { "Device" }
                dd { "A source MAC as seen on the interface: the last hop. Several devices behind a repeater or a router, or with a cloned MAC, count as one. A device may also change its MAC." }
                dt { "Unparsed" }
                dd { "Frames without an IP header that the parser can read, each counted under one reason. They pass. But if a policy drops anything, those that Linux could still deliver are dropped." }
            }
        }
    }
}

/// Renders a table. The first `texts` columns hold texts, the others numbers.
fn table(columns: &[&str], texts: usize, rows: &Markup) -> Markup {
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        @for (index, column) in columns.iter().enumerate() {
                            th scope="col" .number[index >= texts] { (column) }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

fn verdicts(verdicts: &Verdicts) -> Markup {
    html! { (count(verdicts.passed)) (count(verdicts.dropped)) }
}

fn count(count: Count) -> Markup {
    html! {
        td.number.zero[count.packets == 0] {
            (thousands(count.packets))
            @if count.packets > 0 { small { (ByteSize::b(count.bytes).display().iec()) } }
        }
    }
}

const fn action_class(action: Action) -> &'static str {
    match action.strength() {
        Strength::Exempts => "good",
        Strength::Blocks => "bad",
        Strength::Observes => "warn",
    }
}

/// Formats a Unix time, in seconds, as UTC: `2026-02-01T12:00:00Z`.
fn time(seconds: u64) -> String {
    // The last second of the year 9999, after which RFC 3339 has no format.
    let seconds = Duration::from_secs(seconds.min(253_402_300_799));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + seconds).to_string()
}

/// Formats a number with a comma before each group of three digits: `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_separated_by_commas() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123_456, "123,456"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ];
        for (number, text) in cases {
            assert_eq!(thousands(number), text);
        }
    }
}
