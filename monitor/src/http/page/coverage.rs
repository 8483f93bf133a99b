//! What the gateway sees and what it does not, with how to fix it.

use maud::{Markup, html};

use super::{
    Context,
    words::{line, plural, sentence, thousands},
};
use crate::{
    doctor::{Finding, FindingStatus},
    page_facts::PageFacts,
    policy::Direction,
    snapshot::{Count, InterfaceSnapshot, Verdicts},
};

pub(super) fn content(context: &Context<'_>) -> Markup {
    html! {
        h1 { "Coverage" }
        (findings(context))
        section #interfaces data-live aria-labelledby="interfaces-title" {
            h2 #interfaces-title { "Interfaces" }
            @if context.snapshot.interfaces.is_empty() {
                p.soft { "No interface has been filtered yet." }
            } @else {
                (interfaces(&context.snapshot.interfaces))
            }
        }
    }
}

fn findings(context: &Context<'_>) -> Markup {
    let Some(diagnosis) = context.facts.and_then(PageFacts::diagnosis) else {
        return html! { p.soft { "The daemon has not looked yet. " code { "monitor doctor" } " looks now." } };
    };
    let (good, mut bad): (Vec<&Finding>, Vec<&Finding>) = diagnosis
        .checks
        .iter()
        .partition(|finding| finding.remark.status == FindingStatus::Ok);
    bad.sort_by_key(|finding| rank(finding));
    html! {
        section #findings data-live aria-labelledby="findings-title" {
            h2 #findings-title {
                @match diagnosis.blind {
                    0 => { "Nothing that it checks is blind" }
                    blind => { (plural(blind as u64, "thing is", "things are")) " not seen" }
                }
            }
            @if !bad.is_empty() { ul.cards { @for finding in bad { li { (card(finding)) } } } }
            details {
                summary { (plural(good.len() as u64, "check", "checks")) " found nothing to say" }
                ul.plain { @for finding in good { li { strong { (finding.check.name()) } " " (sentence(&finding.remark.what)) } } }
            }
            p.soft { code { "monitor doctor" } " looks again, and " code { "monitor doctor --canary" } " sends frames to see if they are counted." }
        }
    }
}

/// The order of findings: what is not seen comes first, what the operator accepted last.
fn rank(finding: &Finding) -> u8 {
    match finding.remark.status {
        _ if finding.remark.accepted.is_some() => 4,
        FindingStatus::Blind => 0,
        FindingStatus::Degraded => 1,
        FindingStatus::Unknown => 2,
        FindingStatus::Ok => 3,
    }
}

fn card(finding: &Finding) -> Markup {
    let remark = &finding.remark;
    let class = match (remark.status, &remark.accepted) {
        (FindingStatus::Blind, None) => "bad",
        (FindingStatus::Ok, _) | (_, Some(_)) => "off",
        _ => "warn",
    };
    html! {
        article.finding.(class) {
            header { h3 { (sentence(&remark.what)) } span.badge.(class) { (remark.status.word()) } }
            @if !remark.why.is_empty() { p { (sentence(&remark.why)) } }
            @if !remark.fix.is_empty() { p { strong { "To fix it: " } (sentence(&remark.fix)) } }
            @if let Some(reason) = &remark.accepted { p.soft { "Accepted: " (line(reason)) } }
            p.soft { "check " code { (finding.check.name()) } }
        }
    }
}

fn interfaces(interfaces: &[InterfaceSnapshot]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of interfaces" {
            table {
                caption { "Packets since the counters were created. " a href="/metrics" { "The counters" } }
                thead {
                    tr {
                        th scope="col" { "Interface" }
                        th scope="col" { "Filter" }
                        @for column in ["IPv4 passed", "IPv4 dropped", "IPv6 passed", "IPv6 dropped", "Unparsed, passed", "Unparsed, dropped"] { th.number scope="col" { (column) } }
                    }
                }
                tbody { @for own in interfaces { (row(own)) } }
            }
        }
    }
}

fn row(own: &InterfaceSnapshot) -> Markup {
    html! {
        tr {
            th scope="row" { (own.name) @if own.direction == Direction::In { small { "packets in" } } }
            td {
                @match own.mode {
                    Some(mode) => { "attached, " (mode.name()) }
                    None => { span.bad { "not attached" } }
                }
                @if own.not_confirmed.packets > 0 { small.bad { (thousands(own.not_confirmed.packets)) " passed, not confirmed" } }
                @if own.answers.packets() > 0 { small { "rejected: " (own.answers) } }
                small {
                    @match own.generation {
                        Some(generation) => { "generation " (generation) }
                        None => { "no generation" }
                    }
                }
            }
            @for count in [own.ipv4.passed, own.ipv4.dropped, own.ipv6.passed, own.ipv6.dropped] { td.number { (thousands(count.packets)) } }
            (unparsed(&own.unparsed, |verdicts| verdicts.passed))
            (unparsed(&own.unparsed, |verdicts| verdicts.dropped))
        }
    }
}

/// The number of unparsed frames with one verdict, in total and by reason.
fn unparsed(reasons: &[(String, Verdicts)], of: impl Fn(&Verdicts) -> Count) -> Markup {
    let counts = reasons
        .iter()
        .map(|(reason, verdicts)| (reason, of(verdicts).packets));
    let sum: u64 = counts.clone().map(|(_, packets)| packets).sum();
    html! {
        td.number {
            (thousands(sum))
            @for (reason, packets) in counts.filter(|(_, packets)| *packets > 0) {
                small { (reason) " " (thousands(packets)) }
            }
        }
    }
}
