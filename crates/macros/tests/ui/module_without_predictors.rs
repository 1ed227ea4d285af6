//! A module without predictors.


use promptopt_predict::{Module, Predict};

#[derive(Module)]
struct Desk {
    route: Predict,
}

fn main() {}
