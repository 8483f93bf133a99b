//! The contacts of one device with one destination: claims, holder, and why the filter decides
//! as it does.

use std::net::IpAddr;

use maud::{Markup, html};

use super::{
    Context,
    actions::{Subject, actions, commands},
    asked::{Asked, Span},
    contact_rows, device_mark,
    shell::{trouble, withheld},
    words::{action, bytes, foreign, line, thousands, verdicts},
};
use crate::{
    evidence::{Claim, DeviceHead, absence::AbsenceView},
    explain::{Changed, Explanation, Match},
    page_facts::{ContactFacts, best_name},
    policy::{Direction, MacAddress},
    store::ListedContact,
};

pub(super) fn content(context: &Context<'_>, mac: MacAddress, to: IpAddr) -> Markup {
    let Some(facts) = context.facts else {
        return html! { h1 { "Contact" } (withheld(context)) };
    };
    let (since, _) = Span::Month.period(context.clock.now);
    html! {
        @match facts.contact(mac, to, since) {
            Err(why) => { h1 { (mac) " → " (to) } (trouble(&why)) }
            Ok(contact) => {
                (title(&contact, mac, to))
                (actions(context, Subject::Contact(mac, to)))
                (commands(Subject::Contact(mac, to)))
                (services(context, &contact.contacts))
                (why(&contact.why))
                (names(context, &contact))
                (holder(&contact.why))
                (others(&contact.others, to))
            }
        }
    }
}

fn title(contact: &ContactFacts, mac: MacAddress, to: IpAddr) -> Markup {
    let claims = contact
        .contacts
        .iter()
        .find_map(|own| best_name(&own.claims));
    let mut head = contact.head.clone();
    head.device = Some(mac);
    html! {
        h1.contact {
            (device_mark::link(&head))
            span.arrow { span aria-hidden="true" { "→" } span.hidden { "to" } }
            @match claims {
                Some(claim) => { span { (foreign(&claim.name)) small { (to) } } }
                None => { span { (to) small { "no name seen" } } }
            }
        }
    }
}

fn services(context: &Context<'_>, contacts: &[ListedContact]) -> Markup {
    let mut interfaces = context.snapshot.interfaces.iter();
    let has_wan = interfaces.any(|own| own.direction == Direction::In);
    let has_answers = has_wan || contacts.iter().any(|own| own.answered.packets > 0);
    html! {
        section #services data-live aria-labelledby="services-title" {
            h2 #services-title { "What was sent" @if has_answers { ", and what came back" } }
            @if contacts.is_empty() {
                p.soft { "The store has no packet of this device to this destination in the " (Span::Month.words()) "." }
            } @else {
                table {
                    caption { "In the " (Span::Month.words()) ", by service" }
                    thead { tr { th scope="col" { "Service" } th.number scope="col" { "Sent" } @if has_answers { th.number scope="col" { "Answers" } } th.number.wide scope="col" { "First" } th.number scope="col" { "Last" } } }
                    tbody {
                        @for own in contacts {
                            tr {
                                th scope="row" { (contact_rows::service(own)) small { (contact_rows::policies(own)) } }
                                td.number { a href=(all(own)) { (verdicts(own.passed.packets, own.dropped.packets)) } small { (bytes(own.passed.bytes + own.dropped.bytes)) } }
                                @if has_answers { td.number { a href=(all(own)) { (thousands(own.answered.packets)) } @if own.answered.packets > 0 { small { (bytes(own.answered.bytes)) } } } }
                                td.number.wide { (context.clock.time(own.first)) }
                                td.number { (context.clock.time(own.last)) }
                            }
                        }
                    }
                }
                p.soft {
                    @if has_answers { "Answers are packets that passed the WAN and left to this device." }
                    @else { "What came back is not counted, because no interface has the role " code { "wan" } "." }
                }
            }
        }
    }
}

/// The list that has only this contact.
fn all(own: &ListedContact) -> String {
    let asked = Asked {
        span: Span::Month,
        device: own.device.map(|mac| mac.to_string()),
        text: own.destination.map(|to| to.to_string()),
        ..Asked::default()
    };
    asked.url("/contacts")
}

/// What the policies in force decide now, with their places.
fn why(answers: &[(Option<String>, Explanation)]) -> Markup {
    html! {
        section aria-labelledby="why-title" {
            h2 #why-title { "Why this verdict" }
            @for (service, answer) in answers {
                h3 {
                    @match service { Some(service) => { (line(service)) ": " } None => {} }
                    em { (answer.decision.name()) }
                    span.soft { " " (answer.decision.meaning()) }
                }
                @if answer.matches.is_empty() && answer.resting.is_empty() && answer.left_out.is_empty() {
                    p.soft { "No policy in force covers this address now." }
                } @else {
                    (matches(answer))
                }
            }
            p.soft { "This is what the policies decide now; the packets above may be from before a change." }
        }
    }
}

fn matches(answer: &Explanation) -> Markup {
    html! {
        ol.matches {
            @for found in &answer.matches { (matching(found)) }
            @for left in &answer.left_out {
                li.off { (policy(left.policy.as_str())) " is left out, " (line(&left.prefix)) (place(&left.source)) (changed("overlay", &left.changed)) }
            }
            @for resting in &answer.resting {
                li.off { (policy(resting.policy.as_str())) " rests: " (line(resting.reason)) @if let Some(until) = &resting.until { ", until " (until) } (place(&resting.source)) }
            }
        }
    }
}

fn matching(found: &Match) -> Markup {
    html! {
        li.decides[found.effective] {
            (action(found.action)) " " (policy(found.policy.as_str())) " " code { (line(&found.prefix)) }
            @if found.effective { strong { " decides" } }
            (place(&found.source))
            @if let Some(derived) = found.derived { small { (derived) } }
            @if found.allow_handshake { small { "allow_handshake: TCP segments without data pass, unless another policy drops them" } }
            @if let Some(condition) = &found.condition { small { "if " (line(condition)) } }
            @if let Some(own) = &found.changed { (changed("overlay", own)) }
            @for own in &found.by_command { (changed("by command", own)) }
        }
    }
}

fn policy(name: &str) -> Markup {
    html! { a href=(contact_rows::policy_path(name)) { (foreign(name)) } }
}

fn place(source: &str) -> Markup {
    html! { small { "written in " code { (line(source)) } } }
}

fn changed(how: &str, own: &Changed) -> Markup {
    html! { small { (how) ": " (line(&own.to_string())) } }
}

fn names(context: &Context<'_>, contact: &ContactFacts) -> Markup {
    let claims = contact.contacts.iter().flat_map(|own| &own.claims);
    let mut claims: Vec<_> = claims.collect();
    claims.sort();
    claims.dedup_by(|a, b| (&a.name, a.source, a.server) == (&b.name, b.source, b.server));
    let more: u32 = contact.contacts.iter().map(|own| own.more_claims).sum();
    html! {
        section #names data-live aria-labelledby="names-title" {
            h2 #names-title { "Names" }
            @if claims.is_empty() {
                (no_name(context, contact.absence.as_ref()))
            } @else {
                table {
                    caption { "What was seen of the name of this destination" }
                    thead { tr { th scope="col" { "Name" } th.wide scope="col" { "How it was learnt" } th.number.wide scope="col" { "First" } th.number scope="col" { "Last" } } }
                    tbody {
                        @for claim in claims {
                            tr {
                                th scope="row" { (foreign(&claim.name)) @if !claim.chain.is_empty() { small { "by way of " (foreign(&claim.chain.join(" → "))) } } div.narrow { (learnt(claim)) } }
                                td.wide { (learnt(claim)) }
                                td.number.wide { (context.clock.time(claim.first)) }
                                td.number { (context.clock.time(claim.last)) }
                            }
                        }
                    }
                }
                @if more > 0 { p.soft { "and " (thousands(more.into())) " more" } }
            }
        }
    }
}

/// How a name was learnt, in words.
fn learnt(claim: &Claim) -> Markup {
    html! {
        (contact_rows::how(claim)) small { (contact_rows::meaning(claim.source)) }
        @if let Some(server) = claim.server { small { "answered by " (server) } }
        @if let Some(ech) = claim.ech { small { "Encrypted Client Hello: " (ech.word()) } }
    }
}

fn no_name(context: &Context<'_>, absence: Option<&AbsenceView>) -> Markup {
    html! {
        p {
            "No name was seen. "
            @if let Some(absence) = absence {
                "No DNS answer to this device gave this address since " (context.clock.time_of(&absence.since_by_device)) ". "
            }
            "Encrypted DNS, a cache, a VPN, a late start of the gateway and a fixed address all look the same."
        }
        @if let Some(absence) = absence.filter(|absence| !absence.encrypted.is_empty()) {
            p { "The device uses encrypted DNS: " @for (number, one) in absence.encrypted.iter().enumerate() { @if number > 0 { ", " } (line(&one.what)) " " (one.server) } "." }
        }
    }
}

/// What is stated about the range, each statement with its source.
fn holder(answers: &[(Option<String>, Explanation)]) -> Markup {
    let stated = answers.first().map(|(_, answer)| answer.holder.to_string());
    html! {
        section aria-labelledby="holder-title" {
            h2 #holder-title { "Who holds the address" }
            dl.facts {
                @for text in stated.iter().flat_map(|stated| stated.lines()) {
                    @let (what, said) = text.split_once(": ").unwrap_or(("", text));
                    div { dt { (line(what.trim())) } dd.soft[said == "unknown"] { (line(said)) } }
                }
            }
            p.soft { "A registry that lists a range does not hold it. " code { "monitor explain --rdap" } " asks the registry now." }
        }
    }
}

fn others(others: &[(DeviceHead, u64)], to: IpAddr) -> Markup {
    let all = Asked {
        span: Span::Month,
        text: Some(to.to_string()),
        ..Asked::default()
    };
    let of_device = |head: &DeviceHead| {
        let device = head.device.map(|mac| mac.to_string());
        all.with(|asked| asked.device = device).url("/contacts")
    };
    html! {
        section aria-labelledby="others-title" {
            h2 #others-title { "Other devices" }
            @if others.is_empty() {
                p.soft { "No other device contacted this destination in the " (Span::Month.words()) "." }
            } @else {
                p { "These contacted it too, so the contact is not specific to one device:" }
                ul.plain { @for (head, packets) in others { li { (device_mark::link(head)) " " a href=(of_device(head)) { (thousands(*packets)) " packets" } } } }
            }
            p { a.more href=(all.url("/contacts")) { "All contacts with " (to) } }
        }
    }
}
