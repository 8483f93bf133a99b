//! The lists that the daemon downloads.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    Context, contact_rows,
    words::{foreign, line, plural, thousands},
};
use crate::snapshot::{FeedSnapshot, FeedState};

pub(super) fn content(context: &Context<'_>) -> Markup {
    let feeds = &context.snapshot.feeds;
    html! {
        h1 { "Feeds" }
        section #feeds data-live aria-label="Feeds" {
            @if feeds.is_empty() {
                p.soft { "No policy uses a list from a URL. A destination like " code { "{list: https://lists.example/bad.txt}" } " in a policy adds one." }
            } @else {
                ul.cards { @for feed in feeds { li { (card(context, feed)) } } }
            }
        }
    }
}

/// The number of destinations, as a link to a policy that uses the feed.
fn destinations(feed: &FeedSnapshot) -> Markup {
    let number = plural(feed.destinations as u64, "destination", "destinations");
    html! {
        @match feed.policies.first() {
            Some(name) => { a href=(format!("{}#destinations", contact_rows::policy_path(name))) { (number) } }
            None => { (number) }
        }
    }
}

fn card(context: &Context<'_>, feed: &FeedSnapshot) -> Markup {
    let class = match feed.state {
        FeedState::Current => "good",
        FeedState::NeverFetched => "warn",
        FeedState::Refused | FeedState::Failed => "bad",
    };
    let age = feed
        .age
        .map(|age| humantime::format_duration(Duration::from_secs(age / 60 * 60)));
    html! {
        article {
            header {
                h2 { (foreign(&feed.feed)) }
                span.badge.(class) { (feed.state.name()) }
            }
            @if let Some(reason) = &feed.reason { p.(class) { (line(reason)) } }
            dl.facts {
                div { dt { "In force" } dd { (destinations(feed)) @if feed.cut > 0 { ", " (thousands(feed.cut as u64)) " cut out" } } }
                div {
                    dt { "Last found current" }
                    dd {
                        @match (age, feed.checked_at) {
                            (Some(age), Some(at)) => { (age) " ago" span.soft { ", " (context.clock.time_at(at)) } }
                            _ => { span.bad { "no version of it is in force" } }
                        }
                    }
                }
                @if let Some(at) = feed.next_attempt { div { dt { "Next try" } dd { (context.clock.time_at(at)) } } }
                div { dt { "Policies" } dd { @for (number, name) in feed.policies.iter().enumerate() { @if number > 0 { ", " } a href=(contact_rows::policy_path(name)) { (foreign(name)) } } } }
                @if !feed.cut_networks.is_empty() { div { dt { "Cut out" } dd { @for (number, network) in feed.cut_networks.iter().enumerate() { @if number > 0 { ", " } code { (line(network)) } } } } }
            }
            @if feed.candidate.is_some() { p { code { "monitor feed diff" } " shows what the refused update would change, and " code { "monitor feed accept" } " puts it in force." } }
        }
    }
}
