//! What surrounds the filter: classifiers of others, and what the kernel can do.

use std::io;

use aya::util::KernelVersion;

use super::{object, sys};

/// Number of classifiers that links attach to the ingress of an interface. Requires
/// `CAP_NET_ADMIN`.
pub fn linked_classifiers(index: u32) -> io::Result<u32> {
    sys::ingress_links(index)
}

/// Version of the kernel, and true if it lets programs copy payload.
#[must_use]
pub fn kernel_features() -> (String, bool) {
    let version = KernelVersion::current();
    let version = version.map_or_else(|_| "unknown".to_owned(), |version| version.to_string());
    (version, object::can_sample())
}
