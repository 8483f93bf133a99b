//! What runs the emulated machine's processors: the host's own ones by KVM, or qemu alone.

use std::fs::{self, File};

/// The device of KVM.
const KVM: &str = "/dev/kvm";
/// Processor features with which KVM runs every kernel: those of Intel and of AMD.
const HARDWARE: [&str; 2] = ["vmx", "svm"];

/// What runs the processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// The host's processors. If KVM refuses at the start, qemu goes on alone.
    Kvm,
    /// qemu translates each instruction. It needs nothing, and is many times slower.
    Translation,
}

impl Accelerator {
    /// Chooses KVM if this process can use it for every kernel. Says why it cannot.
    pub(crate) fn choose() -> Self {
        let opened = File::options().read(true).write(true).open(KVM);
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let why_not = match opened {
            Err(error) => format!("{KVM}: {error}"),
            Ok(_) if has_hardware(&processors) => {
                println!("The machine runs by KVM");
                return Self::Kvm;
            }
            // Such a KVM runs only kernels that were made for it: Debian's end in its
            // emulator, at the first instruction that it does not know.
            Ok(_) => format!(
                "{KVM} is there, but the processor has no {}",
                HARDWARE.join(" or ")
            ),
        };
        println!("The machine runs without KVM, which is slower: {why_not}");
        Self::Translation
    }

    /// Options of qemu. It tries the accelerators in their order.
    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-accel", "tcg,thread=multi"],
            Self::Translation => &["-accel", "tcg,thread=multi"],
        }
    }
}

/// True if a line of flags in `/proc/cpuinfo` has a feature for virtual machines.
fn has_hardware(processors: &str) -> bool {
    let flags = processors
        .lines()
        .filter_map(|line| line.strip_prefix("flags")?.split_once(':'));
    let mut words = flags.flat_map(|(_, flags)| flags.split_whitespace());
    words.any(|word| HARDWARE.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_without_virtual_machines_is_known() {
        let of = |flags: &str| format!("processor\t: 0\nmodel name\t: vmx\nflags\t\t: {flags}\n");
        assert!(has_hardware(&of("fpu vmx sse")) && has_hardware(&of("fpu svm")));
        assert!(!has_hardware(&of("fpu vmxnet sse")) && !has_hardware(""));
    }
}
