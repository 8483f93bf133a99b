//! Compares the slots of a timeline.

use jiff::Timestamp;

use super::{
    compare::{Comparing, Label},
    figures::{Counts, Figures, Times},
    timeline::{INTERVAL, Timed, second},
};
use crate::{policy::MacAddress, report::DevicePolicy};

impl Comparing<'_> {
    /// Compares the slots of the timeline of a device and policy.
    pub(super) fn timeline(
        &self,
        path: &str,
        label: Label<'_>,
        policy: &DevicePolicy,
        figures: &mut Figures,
    ) {
        let timeline = &policy.timeline;
        let slot = timeline.slot_seconds;
        let since = timeline.since.parse::<Timestamp>().map(second);
        let until = second(self.replayed.period.exact.1);
        let length = since
            .as_ref()
            .map_or(-1, |since| until.saturating_sub(*since));
        let is_grid =
            slot > 0 && slot % INTERVAL == 0 && since.as_ref().is_ok_and(|since| since % slot == 0);
        let number = is_grid.then(|| length.div_euclid(slot) + 1);
        let number = number.and_then(|number| usize::try_from(number).ok());
        let has_slots = |slots: usize| number == Some(slots);
        if !has_slots(timeline.passed.len())
            || !has_slots(timeline.dropped.len())
            || !has_slots(timeline.attached.len())
        {
            figures.differs(format!(
                "{path}: the slots of the timeline are not those of the period."
            ));
            return;
        }
        let (Ok(since), Some(mac)) = (since, label.and_then(|mac| mac.parse().ok())) else {
            return;
        };
        let none = Timed::default();
        let timed = self
            .replayed
            .seen
            .timed
            .get::<MacAddress>(&mac)
            .unwrap_or(&none);
        let known = Times::read(&policy.sum.first, &policy.sum.last).map(|times| self.known(times));
        let slots = timed.slots(since, slot, timeline.passed.len());
        for (index, bounds) in slots.iter().enumerate() {
            for (place, what, reported) in [
                (0, "passed", timeline.passed[index]),
                (1, "dropped", timeline.dropped[index]),
            ] {
                let allowed = Self::allowed(known, bounds.least[place], bounds.most[place]);
                let name = || format!("{path}, slot {} of the timeline, {what}", index + 1);
                figures.number(name, reported, allowed, Counts::Packets);
            }
        }
    }
}
