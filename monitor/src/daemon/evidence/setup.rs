//! Records which program runs on which host.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::{
    config::Settings,
    datapath, regular_file,
    store::{Setup, Store, StoreError},
};

/// Time between two looks.
const LOOK: Duration = Duration::from_mins(1);

/// The setup that was stored last.
#[derive(Debug, Default)]
pub(super) struct SetupRecorder {
    stored: Option<Setup>,
    looked: Option<Instant>,
}

impl SetupRecorder {
    /// Stores the setup if a look is due and it changed.
    pub(super) fn store(
        &mut self,
        store: &mut Store,
        settings: &Settings,
    ) -> Result<(), StoreError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        let setup = now(settings);
        if self.stored.as_ref() != Some(&setup) {
            store.write_setup(&setup, Timestamp::now())?;
            self.stored = Some(setup);
        }
        self.looked = Some(Instant::now());
        Ok(())
    }
}

fn now(settings: &Settings) -> Setup {
    let kernel = |name: &str| {
        let text = regular_file::read_kernel_text(format!("/proc/sys/kernel/{name}")).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let interfaces = settings.real_interfaces().unwrap_or_default();
    // While an interface is absent, its addresses are unknown.
    let lan = datapath::lan_interfaces(&interfaces).unwrap_or_default();
    let mut addresses: Vec<_> = lan.into_iter().flat_map(|one| one.addresses).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Setup {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        program: datapath::program_sha256(),
        classifier: datapath::classifier_sha256(),
        host: kernel("hostname"),
        kernel: kernel("osrelease"),
        addresses,
    }
}
