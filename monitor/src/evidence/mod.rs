//! Evidence: flows of devices, claims about the names of their destinations, and reasons why
//! a name is missing. The modules are pure: time and input come in as arguments.

pub mod absence;
pub mod answers;
pub mod captured;
mod chosen;
pub mod claim;
mod device_text;
mod device_view;
pub mod encrypted;
pub mod event;
pub mod flow;
mod holders;
pub mod identity;
pub mod learner;
pub mod mark;
pub mod names;
pub mod noted;
pub mod page_event;
pub mod published;
pub mod sampler;
mod text;
mod view;

pub use claim::{Claim, Ech, FlowEnd, NameSource};
pub use device_view::{
    DeviceCounts, DeviceHead, DeviceView, DevicesView, FactView, HostName, POLICIES, ReasonView,
    StatedView, latest_name,
};
pub use flow::{Direction, Flow, FlowKey, Port, SeenAddress, protocol};
pub use holders::MAX_HOLDERS;
pub use sampler::Sample;
pub use view::{FlowRow, FlowView, FlowsView, ModelView, ModelsView, NameView, NotRecorded};
