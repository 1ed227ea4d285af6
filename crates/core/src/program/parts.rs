//! What has predictors inside a program.

use super::{Module, Predictor, Text};

/// What `#[predictor]` can stand on in a program that `#[derive(Module)]` makes: predictors, texts, other modules, and
/// lists of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no predictors",
    note = "`#[predictor]` stands on fields of type `Predict`, `ChainOfThought`, `Agent` or `Text`, on another module, or on \
            a `Vec` or `Option` of these; remove it from other fields"
)]
pub trait HasPredictors {
    /// Adds its predictors, in a fixed order.
    fn collect<'a>(&'a self, all: &mut Vec<&'a dyn Predictor>);

    /// Adds the same in the same order, to install prompts in.
    fn collect_mut<'a>(&'a mut self, all: &mut Vec<&'a mut dyn Predictor>);

    /// An upper bound on the calls it makes when it is asked once.
    fn calls(&self) -> u64;

    /// Whether it mostly makes far fewer.
    fn calls_vary(&self) -> bool;
}

#[diagnostic::do_not_recommend]
impl<M: Module> HasPredictors for M {
    fn collect<'a>(&'a self, all: &mut Vec<&'a dyn Predictor>) {
        all.extend(self.predictors());
    }

    fn collect_mut<'a>(&'a mut self, all: &mut Vec<&'a mut dyn Predictor>) {
        all.extend(self.predictors_mut());
    }

    fn calls(&self) -> u64 {
        self.calls_per_rollout()
    }

    fn calls_vary(&self) -> bool {
        Module::calls_vary(self)
    }
}

/// A text is part of one call.
impl HasPredictors for Text {
    fn collect<'a>(&'a self, all: &mut Vec<&'a dyn Predictor>) {
        all.push(self);
    }

    fn collect_mut<'a>(&'a mut self, all: &mut Vec<&'a mut dyn Predictor>) {
        all.push(self);
    }

    fn calls(&self) -> u64 {
        1
    }

    fn calls_vary(&self) -> bool {
        false
    }
}

macro_rules! lists {
    ($($list:ident),*) => {$(
        impl<P: HasPredictors> HasPredictors for $list<P> {
            fn collect<'a>(&'a self, all: &mut Vec<&'a dyn Predictor>) {
                self.iter().for_each(|one| one.collect(all));
            }

            fn collect_mut<'a>(&'a mut self, all: &mut Vec<&'a mut dyn Predictor>) {
                self.iter_mut().for_each(|one| one.collect_mut(all));
            }

            fn calls(&self) -> u64 {
                self.iter().map(P::calls).fold(0, u64::saturating_add)
            }

            fn calls_vary(&self) -> bool {
                self.iter().any(P::calls_vary)
            }
        }
    )*};
}

lists!(Vec, Option);
