//! The kernel programs for floods.

use std::ffi::CString;
use std::fs;

use anyhow::{Context as _, Result};
use aya::maps::PerCpuArray;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::programs::tc::{SchedClassifier, TcAttachType};
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader, Pod};

use super::filters::{Hook, Reads};
use super::sets::Prefix;
use crate::netns::Namespace;
use crate::system::Tree;

/// The compiled object.
pub(crate) struct Object(Vec<u8>);

/// `Template` in `bench-ebpf/src/flood.rs` has the same layout.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Template {
    pub(crate) headers: [u8; 34],
    pub(crate) padding: [u8; 2],
    pub(crate) sum: u32,
}

// SAFETY: integers without gaps, `repr(C)`.
unsafe impl Pod for Template {}

impl Object {
    pub(crate) fn read(tree: &Tree) -> Result<Self> {
        let file = crate::bench::object::path(tree, "flood");
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        Ok(Self(bytes))
    }

    /// Loads the object, with room for so many prefixes.
    pub(crate) fn load(&self, prefixes: usize) -> Result<Ebpf> {
        let room = u32::try_from(prefixes.max(1)).context("prefixes")?;
        self.load_by(EbpfLoader::new().map_max_entries("PREFIXES", room))
    }

    /// Loads the object for the program `read`.
    pub(crate) fn load_reading(&self, Reads { count, lines }: Reads) -> Result<Ebpf> {
        let last_line = lines - 1;
        let mut loader = EbpfLoader::new();
        loader
            .map_max_entries("LINES", lines)
            .override_global("LAST_LINE", &last_line, true)
            .override_global("READS", &count, true);
        self.load_by(&mut loader)
    }

    fn load_by(&self, loader: &mut EbpfLoader<'_>) -> Result<Ebpf> {
        loader
            .load(&self.0)
            .context("load the benchmark's programs")
    }
}

/// Loads an XDP program, and attaches it to interfaces of a namespace.
pub(crate) fn attach_xdp(
    ebpf: &mut Ebpf,
    name: &str,
    (namespace, interfaces): (&Namespace, &[&str]),
    hook: Hook,
) -> Result<()> {
    let mode = match hook {
        Hook::Native => XdpMode::Driver,
        Hook::Generic => XdpMode::Skb,
    };
    let program = xdp(ebpf, name)?;
    for interface in interfaces {
        let device = CString::new(*interface)?;
        namespace.enter(|| {
            program
                .attach(device.as_c_str(), mode)
                .with_context(|| format!("attach {name} to {interface}"))
                .map(drop)
        })?;
    }
    Ok(())
}

/// Loads an XDP program.
pub(crate) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("no program {name}"))?;
    let program: &mut Xdp = program.try_into()?;
    program.load().with_context(|| format!("load {name}"))?;
    Ok(program)
}

/// Loads a tc program, and attaches it to an interface of a namespace.
pub(crate) fn attach_tc(
    ebpf: &mut Ebpf,
    name: &str,
    (namespace, interface): (&Namespace, &str),
    to: TcAttachType,
) -> Result<()> {
    let device = CString::new(interface)?;
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("no program {name}"))?;
    let program: &mut SchedClassifier = program.try_into()?;
    program.load().with_context(|| format!("load {name}"))?;
    namespace.enter(|| {
        program
            .attach(device.as_c_str(), to)
            .with_context(|| format!("attach {name} to {interface}"))
            .map(drop)
    })
}

/// Writes the prefixes into the kernel's LPM trie.
pub(crate) fn fill_trie(ebpf: &mut Ebpf, prefixes: &[Prefix]) -> Result<()> {
    let mut trie: LpmTrie<_, [u8; 4], u32> =
        LpmTrie::try_from(ebpf.map_mut("PREFIXES").context("no map PREFIXES")?)?;
    for prefix in prefixes {
        let key = Key::new(u32::from(prefix.length), prefix.address.octets());
        trie.insert(&key, &1, 0)
            .with_context(|| format!("insert {prefix}"))?;
    }
    Ok(())
}

/// Packets that the sink counted.
pub(crate) fn received(ebpf: &Ebpf) -> Result<u64> {
    let map = ebpf.map("RECEIVED").context("no map RECEIVED")?;
    let cells: PerCpuArray<_, u64> = PerCpuArray::try_from(map)?;
    Ok(cells.get(&0, 0).context("RECEIVED")?.iter().sum())
}
