//! Evidence: flows of devices, claims about the names of their destinations, and reasons why
//! a name is missing. The modules are pure: time and input come in as arguments.

pub mod absence;
pub mod answers;
pub mod claim;
pub mod encrypted;
pub mod event;
pub mod flow;
pub mod learner;
pub mod names;
pub mod sampler;
mod text;
mod view;

pub use claim::{Claim, Ech, FlowEnd, NameSource};
pub use flow::{Direction, Flow, FlowKey, Port, SeenAddress, protocol};
pub use sampler::Sample;
pub use view::{FlowRow, FlowView, FlowsView, ModelView, ModelsView, NameView, NotRecorded};
