//! `monitor pause`, `block` and `allow`: temporary changes on top of the policy files.

use std::time::Duration;

use clap::Args;
use monitor::{
    address::Destination,
    control::{Answer, ChangeRequest, Changed, Request, ask, typed},
    policy::{Effect, PolicyName},
};

use super::{Common, ReachArgs, print, print_json, tell};

/// Arguments of `pause`.
#[derive(Args, Debug)]
pub(crate) struct Pause {
    /// Name of the policy
    policy: PolicyName,
    #[command(flatten)]
    whom: Whom,
    /// How long, such as 10m or `2h 30m`
    #[arg(long = "for", value_name = "TIME", value_parser = typed::length, required_unless_present = "undo", conflicts_with = "undo")]
    length: Option<Duration>,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Arguments of `block`.
#[derive(Args, Debug)]
pub(crate) struct Block {
    #[command(flatten)]
    whole: ForDestination,
    /// Also tell the device, so that its apps fail at once instead of waiting
    #[arg(long)]
    reject: bool,
}

/// Arguments of `allow`, and most of `block`.
#[derive(Args, Debug)]
pub(crate) struct ForDestination {
    /// Address or CIDR
    #[arg(value_name = "ADDRESS", value_parser = typed::destination)]
    destination: Destination,
    #[command(flatten)]
    whom: Whom,
    /// How long, such as 10m or `2h 30m` [default: until you undo it]
    #[arg(long = "for", value_name = "TIME", value_parser = typed::length, conflicts_with = "undo")]
    length: Option<Duration>,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Args, Debug)]
struct Whom {
    /// Only for this device or group: a MAC, the first bits of one, an address, a CIDR or a name
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// The reason; `monitor status` shows it
    #[arg(long, value_name = "TEXT", value_parser = typed::reason)]
    reason: Option<String>,
    /// End the change now
    #[arg(long)]
    undo: bool,
}

/// Asks the daemon to pause a policy.
pub(super) fn pause(common: &Common, args: Pause) -> anyhow::Result<()> {
    let effect = Effect::Pause(args.policy);
    change(common, &args.reach, args.whom, effect, args.length)
}

/// Asks the daemon to drop packets to a destination, and to answer them if that is asked for.
pub(super) fn block(common: &Common, args: Block) -> anyhow::Result<()> {
    let Block {
        whole: args,
        reject,
    } = args;
    let effect = if reject {
        Effect::Reject(args.destination)
    } else {
        Effect::Block(args.destination)
    };
    change(common, &args.reach, args.whom, effect, args.length)
}

/// Asks the daemon to let packets to a destination pass.
pub(super) fn allow(common: &Common, args: ForDestination) -> anyhow::Result<()> {
    let effect = Effect::Allow(args.destination);
    change(common, &args.reach, args.whom, effect, args.length)
}

fn change(
    common: &Common,
    reach: &ReachArgs,
    whom: Whom,
    effect: Effect,
    length: Option<Duration>,
) -> anyhow::Result<()> {
    let reach = reach.reach(common)?;
    reach.require_daemon()?;
    let request = Request::Change(ChangeRequest {
        effect,
        device: whom.device,
        seconds: length.map(|length| length.as_secs()),
        undo: whom.undo,
        reason: whom.reason,
    });
    let changed = match ask(&reach.settings.socket, &request)? {
        Answer::Changed(changed) => changed,
        Answer::Refused(why) => anyhow::bail!("the daemon refused: {why}"),
        other => anyhow::bail!("the daemon gave an unexpected answer: {other:?}"),
    };
    for note in &changed.notes {
        tell(note);
    }
    if common.json {
        print_json(&changed)
    } else {
        print(&render(&changed))
    }
}

/// Says what is in force now.
pub(super) fn render(changed: &Changed) -> String {
    let Changed {
        change,
        undone,
        generation,
        ..
    } = changed;
    let generation = generation.map_or_else(String::new, |number| format!(", generation {number}"));
    if *undone {
        let whom = change
            .device
            .as_ref()
            .map_or_else(String::new, |device| format!(" for {device}"));
        return format!("undone: {}{whom}{generation}\n", change.command);
    }
    format!("in force: {change}{generation}\n")
}
