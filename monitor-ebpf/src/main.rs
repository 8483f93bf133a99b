//! The XDP program: parses a frame, looks up its destination, decides, counts, and
//! acts on the verdict.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod account;
mod capture;
mod confirm;
mod decide;
mod device;
mod emit;
mod flow;
mod frame;
mod lookup;
mod maps;
mod parse;
mod reject;
mod reject_frame;
mod reject_kind;
mod reject_rate;
mod replay;
mod runtime;
mod sample;
mod scope;
mod segment;
mod service;
mod trie;
mod verifier;

use aya_ebpf::{bindings::xdp_action, macros::xdp, maps::ProgramArray, programs::XdpContext};
use decide::{Outcome, Verdict, decide};
use frame::Frame;
use maps::{PREVIOUS, PREVIOUS_FRAGS};
use reject::Ending;

/// Entry point: called for every frame. A frame that is not dropped goes on to the
/// kernel; a rejected one may go back to its sender as an answer.
#[xdp]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `xdp` macro passes it by value"
)]
fn monitor(ctx: XdpContext) -> u32 {
    filter(&ctx, &PREVIOUS)
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
    filter(&ctx, &PREVIOUS_FRAGS)
}

#[inline(always)]
fn filter(ctx: &XdpContext, previous: &ProgramArray) -> u32 {
    let frame = Frame::new(ctx.data(), ctx.data_end());
    let ending = match decide_or_tail_call(ctx, &frame, previous) {
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
            reject::answer(ctx, &packet, &matched, verdict)
        }
    };
    match ending {
        Ending::Passes => xdp_action::XDP_PASS,
        Ending::Vanishes => xdp_action::XDP_DROP,
        Ending::Returns => xdp_action::XDP_TX,
    }
}

/// Decides, or runs the program of the previous generation in place of this one. In
/// the second case it does not return.
#[inline(always)]
fn decide_or_tail_call(ctx: &XdpContext, frame: &Frame, previous: &ProgramArray) -> Outcome {
    if confirm::is_in_force() {
        return decide(ctx, frame);
    }
    confirm::tail_call(ctx, previous);
    Outcome::NotConfirmed
}
