//! The prompts in force in a service, replaced while it runs.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Module, Program};
use crate::Error;
use crate::prompt::Prompts;

/// The prompts that a service runs under, which a reload replaces.
///
/// Each request takes [`LivePrompts::current`] once and keeps it until its end, so one that is under way when the prompts
/// are replaced ends under those that it began with. Nobody waits.
///
/// ```
/// use promptopt_core::program::LivePrompts;
/// use promptopt_core::prompt::{Prompt, Prompts};
///
/// let live = LivePrompts::new(Prompts::from_iter([("route", Prompt::new("Route it."))]));
/// let under_way = live.current();
/// live.replace(Prompts::from_iter([("route", Prompt::new("Route it with care."))]));
/// assert_eq!(under_way.get("route").map(|prompt| prompt.instruction.as_str()), Some("Route it."));
/// ```
#[derive(Debug, Default)]
pub struct LivePrompts(RwLock<Arc<Prompts>>);

impl LivePrompts {
    /// Beginning with these.
    pub fn new(prompts: impl Into<Arc<Prompts>>) -> Self {
        Self(RwLock::new(prompts.into()))
    }

    /// Those in force, for [`CallContext::with_prompts`](super::CallContext::with_prompts).
    pub fn current(&self) -> Arc<Prompts> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in force for every request that begins from now on; gives those before.
    pub fn replace(&self, prompts: impl Into<Arc<Prompts>>) -> Arc<Prompts> {
        std::mem::replace(&mut self.0.write().unwrap_or_else(PoisonError::into_inner), prompts.into())
    }

    /// Puts the prompts of a saved program in force, if they are for `module` as it is.
    ///
    /// # Errors
    ///
    /// As [`Program::fitted_to`]. Then those before stay in force.
    pub fn reload(&self, module: &(impl Module + ?Sized), program: &Program) -> Result<Arc<Prompts>, Error> {
        Ok(self.replace(program.fitted_to(module)?))
    }
}
