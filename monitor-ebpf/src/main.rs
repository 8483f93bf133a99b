//! The XDP program: frame → parse → match → decide → account → verdict.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod account;
mod confirm;
mod decide;
mod device;
mod emit;
mod frame;
mod lookup;
mod maps;
mod parse;
mod runtime;
mod scope;
mod service;
mod trie;
mod verifier;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use decide::{Outcome, Verdict, decide};
use frame::Frame;

/// Decides about one frame. Every frame that is not dropped goes on to the kernel.
#[xdp]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the `xdp` macro hands it over by value"
)]
fn monitor(ctx: XdpContext) -> u32 {
    let frame = Frame::new(&ctx);
    let verdict = match decide_in_time(&ctx, &frame) {
        Outcome::Undecided => {
            account::undecided(&frame);
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
            account::policies(&frame, &matched, verdict);
            emit::matched(&ctx, &frame, &packet, &matched, verdict);
            verdict
        }
    };
    match verdict {
        Verdict::Passed => xdp_action::XDP_PASS,
        Verdict::Dropped => xdp_action::XDP_DROP,
    }
}

/// Does not return where the generation before this one decides.
#[inline(always)]
fn decide_in_time(ctx: &XdpContext, frame: &Frame) -> Outcome {
    if confirm::decides() {
        return decide(frame);
    }
    confirm::leave_to_previous(ctx);
    Outcome::Undecided
}
