//! The XDP program: parses a frame, looks up its destination, decides, counts, and
//! returns the verdict.

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
mod replay;
mod runtime;
mod sample;
mod scope;
mod segment;
mod service;
mod trie;
mod verifier;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use decide::{Outcome, Verdict, decide};
use frame::Frame;

/// Entry point: called for every frame. A frame that is not dropped goes on to the
/// kernel.
#[xdp]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `xdp` macro passes it by value"
)]
fn monitor(ctx: XdpContext) -> u32 {
    let frame = Frame::new(ctx.data(), ctx.data_end());
    let verdict = match decide_or_tail_call(&ctx, &frame) {
        Outcome::NotConfirmed => {
            account::not_confirmed(&frame);
            Verdict::Passed
        }
        Outcome::Unparsed(reason, verdict) => {
            account::unparsed(&frame, reason, verdict);
            verdict
        }
        Outcome::Unmatched(packet) => {
            account::interface(&frame, packet.family(), Verdict::Passed);
            Verdict::Passed
        }
        Outcome::Matched(packet, matched, verdict) => {
            account::interface(&frame, packet.family(), verdict);
            let recorded = flow::record(&ctx, &packet, &matched, verdict);
            account::policies(&frame, &matched, verdict, recorded);
            sample::take(&ctx, &packet, &matched, verdict);
            capture::take(&ctx, &packet, &matched, verdict);
            emit::matched(&ctx, &frame, &packet, &matched, verdict);
            verdict
        }
    };
    match verdict {
        Verdict::Passed => xdp_action::XDP_PASS,
        Verdict::Dropped => xdp_action::XDP_DROP,
    }
}

/// Decides, or runs the program of the previous generation in place of this one. In
/// the second case it does not return.
#[inline(always)]
fn decide_or_tail_call(ctx: &XdpContext, frame: &Frame) -> Outcome {
    if confirm::is_in_force() {
        return decide(ctx, frame);
    }
    confirm::tail_call_previous(ctx);
    Outcome::NotConfirmed
}
