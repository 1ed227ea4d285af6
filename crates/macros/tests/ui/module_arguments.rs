//! Arguments that cannot be, and two models.


use promptopt_predict::{Module, Predict};

#[derive(Module)]
#[module(calls = "many")]
struct Desk {
    #[predictor("route")]
    route: Predict,
}

#[derive(Module)]
#[module(retries = 2)]
struct Other {
    #[predictor]
    route: Predict,
    #[model]
    one: std::sync::Arc<dyn promptopt_core::lm::LanguageModel>,
    #[model]
    two: std::sync::Arc<dyn promptopt_core::lm::LanguageModel>,
}

fn main() {}
