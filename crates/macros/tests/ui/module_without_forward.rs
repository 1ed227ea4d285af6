//! A module without `forward`.


use promptopt_predict::{Module, Predict};

#[derive(Module)]
struct Desk {
    #[predictor]
    route: Predict,
}

fn main() {}
