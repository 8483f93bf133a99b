//! What surrounds the filter: classifiers of others, and what the kernel can do.

use std::io;

use aya::util::KernelVersion;

use super::{object, sys};

/// Number of classifiers that links attach to the ingress of an interface. Requires
/// `CAP_NET_ADMIN`.
pub fn linked_classifiers(index: u32) -> io::Result<u32> {
    sys::ingress_links(index)
}

/// What the running kernel can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFeatures {
    /// Version.
    pub version: String,
    /// True if it lets programs copy payload.
    pub copies: bool,
    /// True if it attaches classifiers by links (TCX).
    pub has_tcx: bool,
}

/// Finds out what the running kernel can do.
#[must_use]
pub fn kernel_features() -> KernelFeatures {
    let version = KernelVersion::current();
    KernelFeatures {
        has_tcx: has_tcx(version.as_ref().ok()),
        version: version.map_or_else(|_| "unknown".to_owned(), |version| version.to_string()),
        copies: object::can_sample(),
    }
}

/// True if the kernel attaches classifiers by links (Linux 6.6, commit e420bed02507). Without
/// the right to ask the kernel, the version decides.
fn has_tcx(version: Option<&KernelVersion>) -> bool {
    sys::has_tcx().unwrap_or_else(|_| version >= Some(&KernelVersion::new(6, 6, 0)))
}
