//! The program: parses a frame, looks up its destination, decides, counts, and acts on the
//! verdict. It has an entry point for each hook.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod account;
mod answers;
mod capture;
mod checksum;
mod confirm;
mod decide;
mod device;
mod direction;
mod emit;
mod flow;
mod frame;
mod hook;
mod lookup;
mod maps;
mod parse;
mod reject;
mod reject_error;
mod reject_frame;
mod reject_kind;
mod reject_rate;
mod reject_reset;
mod replay;
mod runtime;
mod sample;
mod scope;
mod segment;
mod service;
mod trie;
mod verifier;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    maps::ProgramArray,
    programs::{TcContext, XdpContext},
};
use decide::{Outcome, Verdict, decide};
use frame::Frame;
use hook::{Hook, is_own, is_wan, pull_headers};
use maps::{PREVIOUS, PREVIOUS_EGRESS, PREVIOUS_FRAGS};
use reject::Ending;

/// Entry point: called for every frame that arrives. A frame that is not dropped goes on to
/// the kernel; a rejected one may go back to its sender as an answer.
#[xdp]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `xdp` macro passes it by value"
)]
fn monitor(ctx: XdpContext) -> u32 {
    xdp_verdict(filter(&ctx, &PREVIOUS))
}

/// The same for frames in several buffers. `data_end` is the end of the first buffer, which
/// has the headers. The kernel refuses a tail call between programs with and without such
/// frames, so the previous programs have a map of their own.
#[xdp(frags)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `xdp` macro passes it by value"
)]
fn monitor_frags(ctx: XdpContext) -> u32 {
    xdp_verdict(filter(&ctx, &PREVIOUS_FRAGS))
}

/// Entry point: called for every frame that leaves. Towards the internet, it decides about
/// packets that the gateway itself sends; those of devices were decided where they came in.
/// Towards the devices, it records answers. A frame that is not dropped goes on to the next
/// classifier.
#[classifier]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `classifier` macro passes it by value"
)]
fn monitor_egress(ctx: TcContext) -> i32 {
    if is_wan() && !is_own(&ctx) {
        return TC_ACT_UNSPEC;
    }
    pull_headers(&ctx);
    if !is_wan() {
        answers::record(&ctx, &PREVIOUS_EGRESS);
        return TC_ACT_UNSPEC;
    }
    match filter(&ctx, &PREVIOUS_EGRESS) {
        Ending::Passes => TC_ACT_UNSPEC,
        // A classifier sends no answers.
        Ending::Vanishes | Ending::Returns => TC_ACT_SHOT,
    }
}

#[inline(always)]
const fn xdp_verdict(ending: Ending) -> u32 {
    match ending {
        Ending::Passes => xdp_action::XDP_PASS,
        Ending::Vanishes => xdp_action::XDP_DROP,
        Ending::Returns => xdp_action::XDP_TX,
    }
}

/// Decides about the frame, and counts it.
#[inline(always)]
fn filter(ctx: &impl Hook, previous: &ProgramArray) -> Ending {
    let frame = ctx.frame();
    match decide_or_tail_call(ctx, &frame, previous) {
        Outcome::NotConfirmed => {
            account::not_confirmed(ctx, &frame);
            Ending::Passes
        }
        Outcome::Unparsed(reason, verdict) => {
            account::unparsed(ctx, &frame, reason, verdict);
            Ending::silent(verdict)
        }
        Outcome::Unmatched(packet) => {
            account::interface(ctx, &frame, packet.family(), Verdict::Passed);
            Ending::Passes
        }
        Outcome::Matched(packet, matched, verdict) => {
            account::interface(ctx, &frame, packet.family(), verdict);
            let recorded = flow::record(ctx, &packet, &matched, verdict);
            account::policies(ctx, &frame, &matched, verdict, recorded);
            sample::take(ctx, &packet, &matched, verdict);
            capture::take(ctx, &packet, &matched, verdict);
            emit::matched(ctx, &frame, &packet, &matched, verdict);
            ctx.answer(&packet, &matched, verdict)
        }
    }
}

/// Decides, or runs the program of the previous generation in place of this one. In
/// the second case it does not return.
#[inline(always)]
fn decide_or_tail_call(ctx: &impl Hook, frame: &Frame, previous: &ProgramArray) -> Outcome {
    if confirm::is_in_force() {
        return decide(ctx, frame);
    }
    confirm::tail_call(ctx, previous);
    Outcome::NotConfirmed
}
