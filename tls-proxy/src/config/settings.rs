//! The settings of one block from `http` down: the core settings, and a slot for each module's.
//!
//! The configuration knows nothing of modules: `modules` lists theirs, and the place
//! in its list is a slot's number (nginx's `ctx_index`).

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use super::core;
use crate::conf::{Position, Problem};
use crate::directive::inherited::Inherited;

/// A block inside another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// `location`: has its own content.
    Location,
    /// `server`, `if` and `limit_except`, which keep what a location does not.
    Other,
}

/// What a module keeps for each block.
pub(crate) trait ModuleSettings: Any + Clone + Debug + Default + Send + Sync {
    /// What a nested block starts with, if that is not a copy.
    fn inside(&self, _: Inside) -> Option<Self> {
        None
    }

    /// Whether they have any effect. If not, the module is skipped.
    fn is_used(&self) -> bool {
        true
    }

    /// A problem of all lines of the block together; `end` is where `http` ends, if its lines
    /// are known: nginx reports some problems there.
    fn check(&self, _end: Option<&Position>) -> Option<Problem> {
        None
    }
}

impl<T: Any + Clone + Debug + Send + Sync> ModuleSettings for Inherited<T> {
    fn inside(&self, _: Inside) -> Option<Self> {
        Some(self.inherited())
    }

    fn is_used(&self) -> bool {
        self.iter().next().is_some()
    }
}

/// Settings that have a slot.
pub(crate) trait SettingsSlot: ModuleSettings {
    /// Its number.
    const SLOT: usize;
}

/// Settings of one module, of whatever type.
pub(crate) trait Stored: Any + Debug + Send + Sync {
    fn inside(&self, inside: Inside) -> Option<Arc<dyn Stored>>;
    fn is_used(&self) -> bool;
    fn check(&self, end: Option<&Position>) -> Option<Problem>;
}

impl<T: ModuleSettings> Stored for T {
    fn inside(&self, inside: Inside) -> Option<Arc<dyn Stored>> {
        let own = ModuleSettings::inside(self, inside)?;
        Some(Arc::new(own))
    }

    fn is_used(&self) -> bool {
        ModuleSettings::is_used(self)
    }

    fn check(&self, end: Option<&Position>) -> Option<Problem> {
        ModuleSettings::check(self, end)
    }
}

/// All settings of a block. Blocks share what they do not change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits, time-outs and what belongs to no other module.
    pub(crate) core: core::Settings,
    modules: Box<[Arc<dyn Stored>]>,
    /// Bit set of the slots that have an effect, once the block has been read.
    used: u64,
}

impl Settings {
    /// The settings before the first line of `main`.
    pub(crate) fn new(modules: impl IntoIterator<Item = Arc<dyn Stored>>) -> Self {
        Self {
            core: core::Settings::default(),
            modules: modules.into_iter().collect(),
            used: 0,
        }
    }

    /// What a module keeps here.
    ///
    /// # Panics
    /// Where `T` is not in the list that these settings were made from.
    pub(crate) fn of<T: SettingsSlot>(&self) -> &T {
        let stored: &dyn Any = &*self.modules[T::SLOT];
        stored
            .downcast_ref()
            .expect("a slot holds its own module's settings")
    }

    /// The same, mutable, for this block alone.
    pub(crate) fn of_mut<T: SettingsSlot>(&mut self) -> &mut T {
        let slot = &mut self.modules[T::SLOT];
        if Arc::get_mut(slot).is_none() {
            let shared: &dyn Any = &**slot;
            let own: &T = shared
                .downcast_ref()
                .expect("a slot holds its own module's settings");
            *slot = Arc::new(own.clone());
        }
        let stored: &mut dyn Any = Arc::get_mut(slot).expect("nobody else has it yet");
        stored
            .downcast_mut()
            .expect("a slot holds its own module's settings")
    }

    /// Problems of a block that has been read; `end` is where `http` ends.
    pub(crate) fn check(&self, end: Option<&Position>) -> impl Iterator<Item = Problem> {
        self.modules.iter().filter_map(move |own| own.check(end))
    }

    /// Notes which modules have an effect here. Called when the block has been read.
    pub(crate) fn finish(&mut self) {
        let used = |own: &Arc<dyn Stored>| u64::from(own.is_used());
        let modules = self.modules.iter().enumerate();
        self.used = modules.fold(0, |bits, (slot, own)| bits | used(own) << slot);
    }

    /// Whether a module has an effect here.
    pub(crate) fn uses<T: SettingsSlot>(&self) -> bool {
        self.used & (1 << T::SLOT) != 0
    }

    /// What a module keeps here, if it has an effect.
    pub(crate) fn used<T: SettingsSlot>(&self) -> Option<&T> {
        self.uses::<T>().then(|| self.of())
    }

    /// What a nested block starts with.
    pub(crate) fn inside(&self, inside: Inside) -> Self {
        let modules = self
            .modules
            .iter()
            .map(|own| own.inside(inside).unwrap_or_else(|| own.clone()));
        Self {
            core: self.core.clone(),
            modules: modules.collect(),
            used: 0,
        }
    }
}
