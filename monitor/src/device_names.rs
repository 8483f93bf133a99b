//! Which devices a text of the operator means: a MAC, or a name in the policies or in the
//! file of names.

use crate::{
    device_book::DeviceBook,
    policy::{Device, DeviceNames, MacAddress, MacPrefix, UnknownDevice},
};

/// Why a text means no device.
#[derive(Debug, thiserror::Error)]
pub enum NoDevice {
    /// No file has the name.
    #[error(transparent)]
    Unknown(#[from] UnknownDevice),
    /// The name stands for an address or for several MACs.
    #[error(
        "`{0}` is not one device; write a whole MAC, or a name in `devices:` or in the file of names"
    )]
    NoMac(String),
}

/// Returns the MACs that a text means. A name in the policies comes before one in the file
/// of names.
pub fn macs_of(
    text: &str,
    policies: &DeviceNames,
    book: &DeviceBook,
) -> Result<Vec<MacAddress>, NoDevice> {
    let devices = match policies.named(text) {
        Ok(devices) => devices,
        Err(unknown) => {
            let macs = book.macs(text);
            return if macs.is_empty() {
                Err(unknown.into())
            } else {
                Ok(macs)
            };
        }
    };
    let macs = devices.iter().map(|device| match device {
        Device::Mac(prefix) if prefix.length() == MacPrefix::BITS => Some(prefix.address()),
        Device::Mac(_) | Device::Ipv4(_) | Device::Ipv6(_) | Device::Interface(_) => None,
    });
    let macs: Option<Vec<_>> = macs.collect();
    macs.ok_or_else(|| NoDevice::NoMac(text.to_owned()))
}
