//! The XDP program: frame → parse → match → decide → account → verdict.

#![no_std]
#![no_main]

mod account;
mod decide;
mod emit;
mod frame;
mod lookup;
mod maps;
mod parse;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use decide::{Outcome, decide};
use frame::Frame;

/// Decides about one frame. Everything that is not dropped is passed on, also
/// what could not be parsed.
#[xdp]
pub fn monitor(ctx: XdpContext) -> u32 {
    let frame = Frame::new(&ctx);
    match decide(&frame) {
        Outcome::Unparsed(reason) => {
            account::unparsed(&frame, reason);
            xdp_action::XDP_PASS
        }
        Outcome::Unmatched(packet) => {
            account::interface(&frame, packet.family(), decide::Verdict::Passed);
            xdp_action::XDP_PASS
        }
        Outcome::Matched(packet, set) => {
            let verdict = decide::verdict(set);
            account::interface(&frame, packet.family(), verdict);
            account::policies(&frame, &packet, set, verdict);
            emit::matched(&ctx, &packet, set, verdict);
            match verdict {
                decide::Verdict::Passed => xdp_action::XDP_PASS,
                decide::Verdict::Dropped => xdp_action::XDP_DROP,
            }
        }
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that can come here.
    loop {}
}

// The kernel reads this section and lets GPL-compatible programs use all helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
