//! The filter where packets leave through an interface.

use crate::{
    datapath::Egress,
    doctor::{
        facts::{FilterAt, Link},
        finding::Remark,
    },
    policy::Role,
    snapshot::Mode,
};

/// How the filter gets attached again.
pub(super) const ATTACH_AGAIN: &str =
    "`monitor reload`, or the next start of the daemon, attaches the filter again";

/// Says whether the filter still is where packets leave through a filtered interface. `None` if
/// the interface needs none there.
pub(super) fn egress(link: &Link, filter: &FilterAt) -> Option<Remark> {
    let name = &link.name;
    let what = format!("{name} has no filter at its egress");
    let own = "packets that the gateway itself sends there are not seen";
    Some(match (filter.role, &filter.egress) {
        (_, Err(why)) => Remark::unknown(
            format!("the filter at the egress of {name} cannot be read"),
            why,
            "run as root, or as the user that runs the daemon",
        ),
        (Role::Lan, Ok(Egress::Nothing | Egress::Attached(_))) => return None,
        (Role::Wan, Ok(Egress::Attached(mode))) => Remark::ok(format!(
            "{name} is filtered at its egress too ({})",
            word(*mode)
        )),
        (Role::Wan, Ok(Egress::Nothing)) => Remark::blind(
            what,
            format!("neither a link (TCX) nor a filter of clsact is kept there, so {own}"),
            ATTACH_AGAIN,
        ),
        (Role::Wan, Ok(Egress::Removed(mode))) => {
            Remark::blind(what, format!("{}, so {own}", removed(*mode)), ATTACH_AGAIN)
        }
        (Role::Lan, Ok(Egress::Removed(mode))) => Remark::degraded(
            what,
            format!(
                "{}, so answers are in no flow of a device; the counters stay right",
                removed(*mode)
            ),
            ATTACH_AGAIN,
        ),
    })
}

/// What became of a filter at an egress.
const fn removed(mode: Mode) -> &'static str {
    match mode {
        Mode::Clsact => "another program removed the filter of clsact",
        Mode::Tcx | Mode::Native | Mode::Generic => {
            "another program detached the link of the filter (TCX)"
        }
    }
}

const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Clsact => "clsact",
        Mode::Tcx | Mode::Native | Mode::Generic => "TCX",
    }
}
