//! Panic handler and licence, which every BPF object needs.

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects an endless loop, so no program that loads can panic.
    loop {}
}

// The kernel reads the licence from this section. Some helpers are only for
// GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
