//! Removes the debug information (DWARF) from an object. It is most of the bytes, and neither
//! aya nor the kernel reads it: both use BTF.

use std::{fs, path::Path};

use anyhow::Context as _;
use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

/// Removes the sections of DWARF and their relocations from the object `file`.
pub(crate) fn remove(file: &Path) -> anyhow::Result<()> {
    let place = || file.display().to_string();
    let object = fs::read(file).with_context(place)?;
    let mut parsed = Builder::read(&*object).with_context(place)?;
    for section in &mut parsed.sections {
        let name = section.name.as_slice();
        section.delete = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    // LLVM has one table for the names of sections and symbols. The builder writes two.
    let names = parsed.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    parsed.write(&mut stripped).with_context(place)?;
    fs::write(file, stripped).with_context(place)
}
